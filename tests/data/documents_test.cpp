#include "data/support.hpp"
#include "demix/data/document_index.hpp"

using namespace demix;
using namespace demix::test;
using data::DocumentIndex;

namespace {

struct Source : TemporaryFolder {
  std::vector<std::string> texts(const fs::path& source, const std::string& field = "text",
                                 std::size_t threads = 2) {
    const DocumentIndex index(data::open_documents(source, field), path / "scratch", threads,
                              [](std::uint64_t) {});
    std::vector<std::string> result;
    for (std::size_t i = 0; i < index.size(); ++i) result.push_back(index.text(i));
    empty = index.empty_documents();
    words = index.words();
    return result;
  }
  std::string error(const fs::path& source, const std::string& field = "text") {
    return error_of([&] { texts(source, field); });
  }
  void check(const std::vector<std::string>& found, const std::vector<std::string>& expected) {
    BOOST_TEST(found == expected, boost::test_tools::per_element());
  }

  std::uint64_t empty = 0, words = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(documents)

BOOST_FIXTURE_TEST_CASE(jsonl_lines_are_documents, Source) {
  const auto file =
      write_file(path / "x.jsonl",
                 "{\"text\": \"one two\\nthree\", \"meta\": {\"text\": 5}}\n"
                 "\n  \t\r\n"
                 "{\"id\": 1, \"body\": \"b\", \"text\": \"\\u00e9\\ud83d\\ude00\\u0000 x\"}\r\n"
                 "{\"text\": \"\"}\n"
                 "{\"text\": \"last\"}");
  check(texts(file), {"one two\nthree", std::string("\303\251\360\237\230\200\0 x", 9), "last"});
  BOOST_TEST(empty == 1u);
  BOOST_TEST(words == 6u);
  BOOST_TEST(!fs::exists(path / "scratch"));
  BOOST_TEST(!fs::exists(path / "scratch.partial"));
  check(texts(write_file(path / "y.jsonl", "{\"body\": \"b\"}\n"), "body"), {"b"});
}

BOOST_FIXTURE_TEST_CASE(bad_lines_are_named, Source) {
  const std::string good = "{\"text\": \"a\"}\n";
  const auto message = [&](const std::string& line) {
    return error(write_file(path / "x.jsonl", good + "\n" + line + "\n" + good));
  };
  check_mentions(message("{\"text\": \"a\""), {"x.jsonl:3", "JSON"});
  check_mentions(message("plain text"), {"x.jsonl:3", "JSON"});
  check_mentions(message("{\"text\": \"a\"} {\"text\": \"b\"}"), {"x.jsonl:3"});
  check_mentions(message("[1, 2]"), {"x.jsonl:3", "array"});
  check_mentions(message("{\"body\": \"a\", \"id\": 1}"), {"x.jsonl:3", "'text'", "body id", "--text-field"});
  check_mentions(message("{}"), {"x.jsonl:3", "none"});
  check_mentions(message("{\"text\": null}"), {"x.jsonl:3", "null"});
  check_mentions(message("{\"text\": [\"a\"]}"), {"x.jsonl:3", "array"});
  check_mentions(message("{\"text\": \"\xff\"}"), {"x.jsonl:3", "UTF-8", "folder"});
  check_mentions(message("{\"text\": \"\\ud83d\"}"), {"x.jsonl:3"});
  check_mentions(error(path / "absent.jsonl"), {"absent.jsonl", "does not exist"});
}

BOOST_FIXTURE_TEST_CASE(the_first_bad_line_is_named_with_any_threads, Source) {
  std::string lines;
  for (int i = 1; i <= 20000; ++i)
    lines += i == 9000 || i == 15000 ? "{\n" : "{\"text\": \"some words here\"}\n";
  const auto file = write_file(path / "x.jsonl", lines);
  for (const std::size_t threads : {1u, 2u, 7u})
    check_mentions(error_of([&] { texts(file, "text", threads); }), {"x.jsonl:9000:"});
}

BOOST_FIXTURE_TEST_CASE(files_of_a_folder_are_documents_in_order, Source) {
  const std::string raw = std::string("\xff\xfe\0 raw", 7);
  write_file(path / "in" / "b.txt", raw);
  write_file(path / "in" / "a" / "z.txt", "first");
  write_file(path / "in" / "c", "third\n");
  write_file(path / "in" / ".hidden", "no");
  write_file(path / "in" / ".git" / "config", "no");
  write_file(path / "in" / "empty", "");
  check(texts(path / "in"), {"first", raw, "third\n"});
  BOOST_TEST(empty == 1u);
}

BOOST_FIXTURE_TEST_CASE(many_documents_keep_their_order, Source) {
  std::string lines;
  std::vector<std::string> expected;
  for (int i = 0; i < 30000; ++i) {
    expected.push_back("document " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 90), 'x'));
    lines += "{\"text\": \"" + expected.back() + "\"}\n";
  }
  const auto file = write_file(path / "x.jsonl", lines);
  for (const std::size_t threads : {1u, 3u}) BOOST_TEST((texts(file, "text", threads) == expected));
  BOOST_TEST(words == 60000u);
}

BOOST_FIXTURE_TEST_CASE(a_file_that_shrinks_is_noticed, Source) {
  const auto file = write_file(path / "x.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  const DocumentIndex index(data::open_documents(file, "text"), path / "scratch", 1, [](std::uint64_t) {});
  fs::resize_file(file, 20);
  check_mentions(error_of([&] { index.text(1); }), {"x.jsonl", "changed"});
}

BOOST_AUTO_TEST_CASE(words_are_counted_as_python_does) {
  BOOST_TEST(data::count_words("") == 0u);
  BOOST_TEST(data::count_words(" \n\t ") == 0u);
  BOOST_TEST(data::count_words("one") == 1u);
  BOOST_TEST(data::count_words("  one two\n\nthree ") == 3u);
  // Recorded from Python: len(text.split()).
  BOOST_TEST(data::count_words("a\x1c"
                               "b\x1f c\302\240d\343\200\200e\342\200\213f\341\240\216g\302\205h\341\232\200i"
                               "\342\201\237j\342\200\257k\342\200\250l\x0bm") == 11u);
  BOOST_TEST(data::count_words("\xc2") == 1u);
  BOOST_TEST(data::count_words("a\xe2\x80") == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
