#include "demix/data/layout.hpp"

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;

BOOST_AUTO_TEST_SUITE(layout)

BOOST_FIXTURE_TEST_CASE(finds_splits_and_domains, TemporaryFolder) {
  for (const char* name : {"law/train", "law/valid_law", "law/test_law", "code/train", "novel/test_novel"}) {
    write_file(path / (std::string(name) + ".idx"), "");
    write_file(path / (std::string(name) + ".bin"), "");
  }
  write_file(path / "dict.txt", "a 1\n");
  write_file(path / "logs" / "notes.txt", "");
  write_file(path / "other" / "test_law.idx", "");
  const std::vector<std::string> domains{"code", "law", "novel"};
  BOOST_TEST(data::list_domains(path) == domains, boost::test_tools::per_element());
  BOOST_TEST(data::split_prefix(path, "law", "train") == path / "law" / "train");
  BOOST_TEST(data::split_prefix(path, "law", "valid") == path / "law" / "valid_law");
  BOOST_TEST(data::split_prefix(path, "law", "test") == path / "law" / "test_law");
  check_mentions(error_of([&] { data::split_prefix(path, "code", "valid"); }),
                 {"valid", "'code'", "valid_code.idx"});
  check_mentions(error_of([&] { data::split_prefix(path, "lwa", "train"); }),
                 {"'lwa'", "are: code law novel"});
  BOOST_CHECK_THROW(data::split_prefix(path, "law", "dev"), UsageError);
  check_mentions(error_of([&] { data::list_domains(path / "absent"); }), {"absent"});
  fs::create_directory(path / "empty");
  check_mentions(error_of([&] { data::split_prefix(path / "empty", "law", "train"); }), {"none"});
}

BOOST_AUTO_TEST_SUITE_END()
