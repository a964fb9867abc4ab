// What a trainer takes from its data and refuses before it starts; the whole program runs in
// tests/examples/training_test.py.

#include "demix/program/train.hpp"

#include <boost/test/unit_test.hpp>

#include "captured.hpp"
#include "demix/program/typed_model.hpp"
#include "train/run_setting.hpp"

using namespace demix;
using namespace demix::program;
using namespace demix::test;

namespace {

struct Fixture : RunSetting {
  Fixture() : RunSetting({"b", "a", "c"}) {
    options.data = data();
    options.config = small_config();
    options.config.vocabulary = 0;
    options.settings = settings;
  }
  std::string refusal() {
    return error_of([&] { complete(type->traits, options); });
  }

  const std::shared_ptr<const ModelType> type = model_type<Experts>("demix");
  TrainOptions options;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(trainers)

BOOST_FIXTURE_TEST_CASE(the_data_give_vocabulary_and_domains, Fixture) {
  complete(type->traits, options);
  BOOST_TEST(options.config.vocabulary == 11u);
  BOOST_TEST(options.domains == (std::vector<std::string>{"a", "b", "c"}), boost::test_tools::per_element());
  options.domains = {"c", "b"};
  complete(type->traits, options);
  BOOST_TEST(options.domains == (std::vector<std::string>{"c", "b"}), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(data_that_are_not_all_there_are_refused, Fixture) {
  options.domains = {"a", "absent"};
  BOOST_TEST(contains(refusal(), "absent"), refusal());
  options.domains = {"a", "a"};
  BOOST_TEST(contains(refusal(), "'a' stands twice"), refusal());
  options.domains = {};
  fs::remove(data() / "c" / "valid_c.idx");
  fs::remove(data() / "c" / "valid_c.bin");
  BOOST_TEST(contains(refusal(), "valid"), refusal());
  fs::remove(data() / "dict.txt");
  BOOST_TEST(contains(refusal(), "dict.txt"), refusal());
}

BOOST_FIXTURE_TEST_CASE(what_is_validated_is_trained, Fixture) {
  options.domains = {"a", "b"};
  options.settings.validation.domains = {"b"};
  BOOST_TEST(refusal() == "no error");
  options.settings.validation.domains = {"b", "c"};
  BOOST_TEST(contains(refusal(), "--eval-domains or --valid-subset: 'c' is not trained on"), refusal());
}

BOOST_FIXTURE_TEST_CASE(with_frozen_shared_parameters_the_domains_are_those_of_the_start, Fixture) {
  device::Cpu device(1);
  const auto save = [&](auto&& model, const char* experiment) {
    const auto path = folder.path / experiment;
    checkpoint::save(path, metadata_of(model, experiment), model);
    return path;
  };
  const std::vector<std::string> of_start{"c", "b", "absent", "a"};
  options.settings.start = {save(Experts(device, small_config(), of_start), "demix"), false};
  options.freezes_shared = true;
  BOOST_TEST(contains(refusal(), "absent"), refusal());  // it has no text
  for (const auto& chosen : {std::vector<std::string>{"a", "c"}, {"c", "a"}}) {
    options.domains = chosen;
    complete(type->traits, options);
    BOOST_TEST(options.domains == (std::vector<std::string>{"c", "a"}), boost::test_tools::per_element());
    BOOST_TEST(options.domains_at_start == of_start, boost::test_tools::per_element());
  }
  options.domains = {"c", "abent"};
  BOOST_CHECK_THROW(complete(type->traits, options), UsageError);
  BOOST_TEST(contains(refusal(), "--only-domains"), refusal());
  options.domains = {"c", "a", "c"};
  BOOST_TEST(refusal() == "--only-domains: 'c' stands twice");
  options.domains = {};
  options.settings.start->checkpoint = save(Dense(device, small_config(), of_start), "dense");
  BOOST_TEST(contains(refusal(), "a dense model has no experts"), refusal());
  options.settings.start->checkpoint = folder.path / "nothing";
  BOOST_TEST(contains(refusal(), "nothing"), refusal());
}

BOOST_FIXTURE_TEST_CASE(a_run_does_not_lie_among_the_domains, Fixture) {
  for (const fs::path& inside : {data() / "run", data(), data() / "a" / ".." / "run"}) {
    options.settings.save_dir = inside;
    BOOST_TEST(contains(refusal(), "lies in the data-bin"), refusal());
  }
  options.settings.save_dir = folder.path / "data2";
  BOOST_TEST(refusal() == "no error");
}

BOOST_FIXTURE_TEST_CASE(more_than_memory_holds_is_refused_at_once, Fixture) {
  options.config.d_ffn = std::size_t{1} << 40;
  BOOST_CHECK_THROW(complete(type->traits, options), UsageError);
}

BOOST_FIXTURE_TEST_CASE(ranks_that_cannot_share_the_experts_are_wrong_usage, Fixture) {
  for (const int ranks : {2, 3, 6}) complete(type->traits, options, ranks - 1, ranks);
  BOOST_CHECK_THROW(complete(type->traits, options, 0, 4), UsageError);
  const auto dense = model_type<Dense>("dense");
  for (const int ranks : {2, 4, 7}) complete(dense->traits, options, ranks - 1, ranks);
}

BOOST_AUTO_TEST_SUITE_END()
