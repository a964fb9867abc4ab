#include "demix/checkpoint/model_source.hpp"

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"

using namespace demix;
using namespace demix::test;

BOOST_AUTO_TEST_SUITE(model_source)

BOOST_AUTO_TEST_CASE(attributes_of_a_model_that_cannot_be_in_memory) {
  ModelConfig config = architecture("transformer_lm");
  config.vocabulary = 1000;
  checkpoint::model_source_detail::require_memory_for_model("run/checkpoint_1", config, 2);
  const std::size_t huge = std::size_t{1} << 60;
  for (const auto member : {&ModelConfig::vocabulary, &ModelConfig::layers, &ModelConfig::d_model,
                            &ModelConfig::d_ffn, &ModelConfig::tokens_per_sample}) {
    ModelConfig damaged = config;
    damaged.*member = huge;
    BOOST_CHECK_EXCEPTION(
        checkpoint::model_source_detail::require_memory_for_model("run/checkpoint_1", damaged, 2), Error,
        [](const Error& error) {
          const std::string text = error.what();
          return text.starts_with("run/checkpoint_1/model.h5: ") &&
                 text.find("dictionary_size") != std::string::npos &&
                 text.find(" 1152921504606846976") != std::string::npos &&
                 text.find("needs at least") != std::string::npos;
        });
  }
}

namespace {

/// Two checkpoints of one body, with experts a, b and b, c; experts are told apart by their factor.
struct TwoOfOneBody {
  TwoOfOneBody() {
    save("first", {"a", "b"}, 1);
    save("second", {"b", "c"}, 10);
  }

  void save(const char* name, std::vector<std::string> domains, float factor) {
    Experts model(device, small_config(), std::move(domains), Seed{1});
    for (const ExpertId e : model.weights().held().list())
      for (float& x : model.weights().master().region(e)) x *= factor * static_cast<float>(1 + index(e));
    save_without_state(folder.path / name, "demix", model, 3);
  }

  float first_number(const Experts& model, int expert) const {
    return model.weights().master().region(ExpertId{expert})[0];
  }

  const TemporaryFolder folder;
  device::Cpu device;
};

}  // namespace

BOOST_AUTO_TEST_CASE(all_of_a_checkpoint) {
  TwoOfOneBody f;
  const checkpoint::ModelSource source(f.folder.path / "second");
  BOOST_TEST(source.domains() == (std::vector<std::string>{"b", "c"}), boost::test_tools::per_element());
  BOOST_TEST(source.has_experts());
  const auto model = source.load<Experts>(f.device);
  const Experts start(f.device, small_config(), {"x"}, Seed{1});
  BOOST_TEST(f.first_number(model, 0) == 10 * f.first_number(start, 0));
  BOOST_TEST(f.first_number(model, 1) == 20 * f.first_number(start, 0));
}

BOOST_AUTO_TEST_CASE(experts_of_two_checkpoints_in_the_order_and_by_the_names_of_the_list) {
  TwoOfOneBody f;
  const auto first = f.folder.path / "first", second = f.folder.path / "second";
  const checkpoint::ModelSource source(std::make_shared<checkpoint::Checkpoints>(), first,
                                       {{second, "c", "c"}, {first, "b", "b"}, {second, "b", "other"}});
  BOOST_TEST(source.domains() == (std::vector<std::string>{"c", "b", "other"}),
             boost::test_tools::per_element());
  const auto model = source.load<Experts>(f.device);
  const Experts start(f.device, small_config(), {"x"}, Seed{1});
  BOOST_TEST(f.first_number(model, 0) == 20 * f.first_number(start, 0));
  BOOST_TEST(f.first_number(model, 1) == 2 * f.first_number(start, 0));
  BOOST_TEST(f.first_number(model, 2) == 10 * f.first_number(start, 0));
}

BOOST_AUTO_TEST_CASE(what_does_not_belong_together_is_refused) {
  TwoOfOneBody f;
  const auto first = f.folder.path / "first", other = f.folder.path / "other",
             dense = f.folder.path / "dense";
  Experts stranger(f.device, small_config(), {"d"}, Seed{2});
  save_without_state(other, "demix", stranger, 3);
  Dense plain(f.device, small_config(), {"a"}, Seed{1});
  save_without_state(dense, "dense", plain, 3);
  const auto load = [&](const fs::path& base, const fs::path& from, const char* domain) {
    return error_of([&] {
      checkpoint::ModelSource(std::make_shared<checkpoint::Checkpoints>(), base, {{from, domain, domain}})
          .load<Experts>(f.device);
    });
  };
  BOOST_TEST(mentions(load(first, other, "d"), {"do not have the same body"}));
  BOOST_TEST(mentions(load(dense, dense, "a"), {"has no experts"}));
  BOOST_TEST(mentions(load(first, first, "z"), {"z"}));
  BOOST_TEST(
      mentions(error_of([&] { checkpoint::ModelSource(dense).load<Experts>(f.device); }), {"experts"}));
}

BOOST_AUTO_TEST_SUITE_END()
