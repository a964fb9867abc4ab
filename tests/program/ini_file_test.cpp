#include "demix/program/ini_file.hpp"

#include <boost/test/unit_test.hpp>

#include "temporary_folder.hpp"

using namespace demix;
using namespace demix::program;

namespace {

/// A folder with one file, and what reading it gives.
struct File {
  test::TemporaryFolder folder;
  std::string path = (folder.path / "x.ini").string();

  std::vector<IniEntry> read(const std::string& text) const {
    std::ofstream(path, std::ios::binary) << text;
    return read_ini_file("--config", path);
  }
  std::string value(const std::string& text) const { return read("name = " + text + "\n").at(0).value; }
  std::string error(const std::string& text) const {
    try {
      read(text);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(ini_file)

BOOST_AUTO_TEST_CASE(entries_and_their_lines) {
  const File file;
  const auto entries = file.read("# about it\n\nlr = 2\n; also a comment\n  save-dir=runs/a  \n\tseed\t=\t3");
  BOOST_TEST_REQUIRE(entries.size() == 3u);
  BOOST_TEST(entries[0].name == "lr");
  BOOST_TEST(entries[0].value == "2");
  BOOST_TEST(entries[0].where == file.path + ":3");
  BOOST_TEST(entries[1].name == "save-dir");
  BOOST_TEST(entries[1].value == "runs/a");
  BOOST_TEST(entries[2].name == "seed");
  BOOST_TEST(entries[2].where == file.path + ":6");
  BOOST_TEST(file.read("").empty());
}

BOOST_AUTO_TEST_CASE(only_a_hash_after_white_space_ends_a_value) {
  const File file;
  BOOST_TEST(file.value("a#1") == "a#1");
  BOOST_TEST(file.value("a #1") == "a");
  BOOST_TEST(file.value("a;1 ; 2") == "a;1 ; 2");
  BOOST_TEST(file.value("# nothing") == "");
  BOOST_TEST(file.value("a=b") == "a=b");
  BOOST_TEST(file.value("(0.9, 0.95)") == "(0.9, 0.95)");
}

BOOST_AUTO_TEST_CASE(quotes_are_not_part_of_a_value) {
  const File file;
  BOOST_TEST(file.value("\"a b\"") == "a b");
  BOOST_TEST(file.value("'a #1 '  # why") == "a #1 ");
  BOOST_TEST(file.value("\"it's\"") == "it's");
  BOOST_TEST(file.value("it's") == "it's");
  BOOST_TEST(file.value("\"\"") == "");
  for (const char* text : {"name = \"a\n", "name = 'a' b\n", "name = \"\n"})
    BOOST_TEST(file.error(text).find(file.path + ":1: ") == 0u, text);
}

BOOST_AUTO_TEST_CASE(byte_order_marks_and_line_ends_of_windows) {
  const File file;
  const auto entries = file.read("\xEF\xBB\xBFlr = 2\r\nsave-dir = \"a\"\r\n\r\n");
  BOOST_TEST_REQUIRE(entries.size() == 2u);
  BOOST_TEST(entries[0].name == "lr");
  BOOST_TEST(entries[0].value == "2");
  BOOST_TEST(entries[1].value == "a");
}

BOOST_AUTO_TEST_CASE(what_is_no_entry) {
  const File file;
  BOOST_TEST(file.error("lr = 1\n[train]\n").find(file.path + ":2: ") == 0u);
  BOOST_TEST(file.error("lr\n").find(":1: expected 'name = value'") != std::string::npos);
  BOOST_TEST(file.error("= 1\n").find("expected 'name = value'") != std::string::npos);
  BOOST_TEST(file.error(std::string("l\0r = 1\n", 8)).find("no text file") != std::string::npos);
  BOOST_TEST(file.error(std::string(2 << 20, 'x')).find("no text file") != std::string::npos);
  const auto error_at = [](const std::string& path) {
    try {
      read_ini_file("--config", path);
    } catch (const UsageError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  BOOST_TEST(error_at(file.folder.path.string()).find("--config: ") == 0u);
  BOOST_TEST(error_at(file.folder.path.string()).find("is a folder") != std::string::npos);
  BOOST_TEST(error_at(file.path + "x").find("cannot open") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
