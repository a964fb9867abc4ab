#include "demix/prepare/summary.hpp"

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;
using prepare::SequenceUnit;

namespace {

struct DataBin : TemporaryFolder {
  const fs::path& with(const std::string& summary) const {
    write_file(path / "summary.json", summary);
    return path;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(summaries)

BOOST_FIXTURE_TEST_CASE(without_one_a_data_bin_is_the_originals, DataBin) {
  BOOST_TEST(prepare::read_summary(path).empty());
  BOOST_TEST(prepare::document_prefix_of(path) == "<|endoftext|> ");
  BOOST_TEST((prepare::sequence_unit_of(path) == SequenceUnit::line));
}

BOOST_FIXTURE_TEST_CASE(what_it_says_counts, DataBin) {
  BOOST_TEST((prepare::sequence_unit_of(with(R"({"document_prefix": ""})")) == SequenceUnit::document));
  for (const SequenceUnit unit : {SequenceUnit::document, SequenceUnit::line}) {
    const nlohmann::json summary{{"sequence_unit", prepare::name_of(unit)}};
    BOOST_TEST((prepare::sequence_unit_of(with(summary.dump())) == unit));
  }
  with(R"({"document_prefix": "> ", "domains": {"law": {"document_prefix": "# "}, "code": {}}})");
  BOOST_TEST(prepare::document_prefix_of(path) == "> ");
  BOOST_TEST(prepare::document_prefix_of(path, "law") == "# ");
  BOOST_TEST(prepare::document_prefix_of(path, "code") == "> ");
  BOOST_TEST(prepare::document_prefix_of(path, "absent") == "> ");
}

BOOST_FIXTURE_TEST_CASE(what_it_cannot_say_is_an_error, DataBin) {
  for (const char* unit : {"\"lines\"", "\"\"", "null", "true", "[\"line\"]"}) {
    with(std::string("{\"sequence_unit\": ") + unit + "}");
    check_mentions(error_of([&] { prepare::sequence_unit_of(path); }),
                   {"summary.json", "sequence_unit", unit, "\"document\"", "\"line\""});
  }
  check_mentions(error_of([&] { prepare::document_prefix_of(with(R"({"document_prefix": 3})")); }),
                 {"summary.json", "number", "string"});
  for (const char* damaged : {"", "{", "[]", R"({"domains": []})"})
    for (const auto& read : {std::function([&] { prepare::read_summary(path); }),
                             std::function([&] { prepare::sequence_unit_of(path); })}) {
      with(damaged);
      check_mentions(error_of(read), {"summary.json", "JSON object"});
    }
}

BOOST_AUTO_TEST_SUITE_END()
