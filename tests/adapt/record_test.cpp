#include "demix/adapt/record.hpp"

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"

using namespace demix;
using demix::test::error_of, demix::test::mentions;

namespace {

const adapt::Record record{
    "news", "feedforward", "runs/demix/checkpoint_9",           "demix", "0123456789abcdef",
    9,      "law",         {{"law", 0.75}, {"code", 0.1 + 0.2}}};

}  // namespace

BOOST_AUTO_TEST_SUITE(adapt_record)

BOOST_AUTO_TEST_CASE(it_comes_back_as_it_was_written) {
  const test::TemporaryFolder folder;
  for (const bool chosen : {true, false}) {
    auto written = record;
    if (!chosen) {
      written.start.clear();
      written.posterior.clear();
    }
    const auto path = folder.path / "adapt.json";
    adapt::write_record(path, written);
    const auto found = adapt::read_record(path);
    BOOST_TEST(found.json().dump() == written.json().dump());
    BOOST_TEST((found.posterior == written.posterior));
    BOOST_TEST(found.start == written.start);
    BOOST_TEST(!std::filesystem::exists(folder.path / ".adapt.json.partial"));
  }
}

BOOST_AUTO_TEST_CASE(damaged_ones_are_errors) {
  const test::TemporaryFolder folder;
  const auto path = folder.path / "adapt.json";
  BOOST_TEST(mentions(error_of([&] { adapt::read_record(path); }), {"adapt.json"}));
  for (const auto& text : {std::string(), record.json().dump().substr(0, 40), std::string("{}"),
                           std::string("[1]"), std::string(R"({"domain": 3, "mode": "full"})")}) {
    test::write_bytes(path, text);
    BOOST_TEST(mentions(error_of([&] { adapt::read_record(path); }), {"adapt.json", "save_dir"}), text);
  }
}

BOOST_AUTO_TEST_CASE(another_domain_mode_base_or_start_is_refused) {
  const auto refusal = [](const adapt::Record& wanted) {
    return error_of([&] { adapt::require_same_adaptation("runs/news/adapt.json", record, wanted); });
  };
  BOOST_TEST(refusal(record) == "no error");
  auto other = record;
  other.start.clear();
  BOOST_TEST(refusal(other) == "no error");  // the record chooses
  other.start = "code";
  BOOST_TEST(mentions(refusal(other), {"runs/news", "start", "'law'", "'code'", "save_dir"}));
  other = record;
  other.domain = "mail";
  BOOST_TEST(mentions(refusal(other), {"domain", "'news'", "'mail'"}));
  other = record;
  other.mode = "full";
  BOOST_TEST(mentions(refusal(other), {"mode", "'feedforward'", "'full'"}));
  other = record;
  other.hash = "fedcba9876543210";
  BOOST_TEST(mentions(refusal(other), {"base", "0123456789abcdef", "fedcba9876543210"}));
  other = record;
  other.checkpoint = "moved/elsewhere";
  BOOST_TEST(refusal(other) == "no error");
}

BOOST_AUTO_TEST_CASE(the_hash_is_that_of_all_files_of_the_model_and_not_of_its_state) {
  const test::TemporaryFolder folder;
  device::Cpu device;
  test::Experts model(device, test::small_config(), {"a", "b"}, Seed{1});
  const auto metadata = test::metadata_of(model, "demix");
  const auto path = folder.path / "c", copy = folder.path / "d";
  test::save_without_state(path, "demix", model);
  std::filesystem::copy(path, copy, std::filesystem::copy_options::recursive);
  const auto hash = adapt::model_hash(path, metadata);
  BOOST_TEST(hash.size() == 16u);
  BOOST_TEST(adapt::model_hash(copy, metadata) == hash);
  test::write_bytes(copy / "state.h5", "anything");
  BOOST_TEST(adapt::model_hash(copy, metadata) == hash);
  for (const char* file : {"model.h5", "experts/a.h5", "experts/b.h5"}) {
    const auto whole = test::read_bytes(copy / file);
    auto changed = whole;
    changed.back() ^= 1;
    test::write_bytes(copy / file, changed);
    BOOST_TEST(adapt::model_hash(copy, metadata) != hash, file);
    test::write_bytes(copy / file, whole);
  }
}

BOOST_AUTO_TEST_SUITE_END()
