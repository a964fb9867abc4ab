#include <sys/stat.h>
#include <zlib.h>

#include <thread>

#include "data/support.hpp"
#include "demix/prepare/document_index.hpp"

using namespace demix;
using namespace demix::test;
using prepare::DocumentIndex;

namespace {

/// Compressed as gzip(1) does.
std::string gzip(const std::string& text) {
  z_stream stream{};
  BOOST_REQUIRE(::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string result(text.size() + 1000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  BOOST_REQUIRE(::deflate(&stream, Z_FINISH) == Z_STREAM_END);
  result.resize(stream.total_out);
  ::deflateEnd(&stream);
  return result;
}

struct Source : TemporaryFolder {
  std::vector<std::string> texts(const fs::path& source, const std::string& field = "text",
                                 std::size_t threads = 2) {
    const DocumentIndex index(prepare::open_documents(source, field, path / "spool"), path / "scratch",
                              threads, [](std::uint64_t) {});
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
  BOOST_TEST(!fs::exists(durable::partial(path / "scratch")));
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
  const DocumentIndex index(prepare::open_documents(file, "text", path / "spool"), path / "scratch", 1,
                            [](std::uint64_t) {});
  fs::resize_file(file, 20);
  check_mentions(error_of([&] { index.text(1); }), {"x.jsonl", "changed"});
}

// What Python's json writes, and what no double holds, in fields that nobody asked for.
BOOST_FIXTURE_TEST_CASE(strange_numbers_beside_the_text_are_passed_over, Source) {
  const auto file = write_file(path / "x.jsonl",
                               R"({"n": 1e999, "text": "1e999 NaN"}
{"text": "a \" NaN", "m": [NaN, -Infinity,Infinity], "k": -1e999}
{"NaN":NaN,"text":"b"}
)");
  check(texts(file), {"1e999 NaN", "a \" NaN", "b"});
  const auto second_line = [&](const std::string& line) {
    return error(write_file(path / "x.jsonl", "{\"text\": \"a\"}\n" + line + "\n"));
  };
  for (const char* bad : {R"({"text": NaN})", R"({"text": 1e999})"})
    check_mentions(second_line(bad), {"x.jsonl:2:", "number"});
  for (const char* bad : {R"({"n": nan, "text": "a"})", R"({"n": 1e9e9, "text": "a"})", R"({"n": 1e999)"})
    check_mentions(second_line(bad), {"x.jsonl:2: not JSON", "column"});
}

BOOST_FIXTURE_TEST_CASE(a_message_does_not_repeat_a_long_line, Source) {
  const auto file = write_file(path / "x.jsonl", "{\"text\": \"" + std::string(1000000, 'a') + "\n");
  BOOST_TEST(error(file).size() < 1000u);
}

BOOST_FIXTURE_TEST_CASE(gzip_is_read_whatever_the_name, Source) {
  const std::string one = "{\"text\": \"one\"}\n", two = "{\"text\": \"two\"}\n";
  check(texts(write_file(path / "x.jsonl.gz", gzip(one) + gzip("") + gzip(two) + std::string(600, '\0'))),
        {"one", "two"});
  check(texts(write_file(path / "y.jsonl", gzip(one + two))), {"one", "two"});
  BOOST_TEST(files_under(path) == (std::vector<std::string>{"x.jsonl.gz", "y.jsonl"}),
             boost::test_tools::per_element());
  check_mentions(error(write_file(path / "x.JSONL.GZ", one)), {"x.JSONL.GZ", "its name says gzip"});
  std::string much;
  for (int i = 0; i < 20000; ++i) much += "{\"text\": \"" + std::to_string(i * 7919 % 99991) + "\"}\n";
  const std::string whole = gzip(much);
  BOOST_TEST(texts(write_file(path / "x.jsonl.gz", whole)).size() == 20000u);
  for (const std::size_t length : {std::size_t{2}, std::size_t{9}, whole.size() / 2, whole.size() - 1})
    check_mentions(error(write_file(path / "x.jsonl.gz", whole.substr(0, length))),
                   {"x.jsonl.gz", "cut short"});
  for (const std::size_t at : {whole.size() / 2, whole.size() - 6}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    check_mentions(error(write_file(path / "x.jsonl.gz", damaged)), {"x.jsonl.gz", "gzip"});
  }
  check_mentions(error(write_file(path / "x.jsonl.gz", whole + "rubbish")), {"x.jsonl.gz", "damaged gzip"});
  check_mentions(error(write_file(path / "z.jsonl", std::string("\xfd\x37zXZ\0\0", 7))),
                 {"z.jsonl", "xzcat"});
  check_mentions(error(write_file(path / "z.jsonl", "\x28\xb5\x2f\xfd")), {"z.jsonl", "zstd"});
  check_mentions(error(write_file(path / "z.jsonl.gz", "")), {"z.jsonl.gz"});
}

BOOST_FIXTURE_TEST_CASE(a_pipe_is_read, Source) {
  const auto pipe = path / "pipe";
  for (const bool packed : {false, true}) {
    BOOST_REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    std::string lines;
    for (int i = 0; i < 9000; ++i) lines += "{\"text\": \"document " + std::to_string(i) + "\"}\n";
    const std::jthread writer([&] { std::ofstream(pipe) << (packed ? gzip(lines) : lines); });
    const auto found = texts(pipe);
    BOOST_TEST(found.size() == 9000u);
    BOOST_TEST(found.back() == "document 8999");
    fs::remove(pipe);
  }
  // Waiting for a writer can be broken off.
  BOOST_REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  int polls = 0;
  const auto open = [&] {
    prepare::open_documents(pipe, "text", path / "spool", [&] { require(++polls < 3, "enough"); });
  };
  check_mentions(error_of(open), {"enough"});
}

BOOST_FIXTURE_TEST_CASE(links_in_a_folder_are_followed, Source) {
  write_file(path / "in" / "a.txt", "first");
  write_file(path / "elsewhere" / "b.txt", "second");
  write_file(path / "in" / "z.txt.gz", gzip("last"));
  fs::create_directory_symlink("../elsewhere", path / "in" / "more");
  fs::create_symlink("a.txt", path / "in" / "same.txt");
  check(texts(path / "in"), {"first", "second", "first", "last"});
  fs::create_directory_symlink(path / "in", path / "outside");
  check(texts(path / "outside"), {"first", "second", "first", "last"});

  fs::create_symlink("nothing", path / "elsewhere" / "broken");
  check_mentions(error(path / "in"), {"more/broken", "link to nothing"});
  fs::remove(path / "elsewhere" / "broken");
  fs::create_directory_symlink("../in", path / "elsewhere" / "back");
  check_mentions(error(path / "in"), {"more/back", "link back"});
  fs::remove(path / "elsewhere" / "back");
  BOOST_REQUIRE(::mkfifo((path / "in" / "pipe").c_str(), 0600) == 0);
  check_mentions(error(path / "in"), {"in/pipe", "neither a file nor a folder"});
  fs::remove(path / "in" / "pipe");
  for (const char* name : {"x.tar.gz", "x.ZIP", "x.txt.xz"}) {
    write_file(path / "in" / name, "x");
    check_mentions(error(path / "in"), {name, "packed"});
    fs::remove(path / "in" / name);
  }
  write_file(path / "in" / "z.txt.gz", gzip("last").substr(0, 12));
  check_mentions(error(path / "in"), {"z.txt.gz", "cut short"});
}

BOOST_FIXTURE_TEST_CASE(text_that_changes_meanwhile_is_noticed, Source) {
  const auto lines = write_file(path / "x.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  const auto folder = write_file(path / "in" / "c", "c").parent_path();
  for (const auto& source : {lines, folder}) {
    const DocumentIndex index(prepare::open_documents(source, "text", path / "spool"), path / "scratch", 1,
                              [](std::uint64_t) {});
    BOOST_TEST(index.text(index.size() - 1) == (source == lines ? "b" : "c"));
    write_file(lines, "{\"text\": \"a\"}\n{\"text\": \"d\"}\n");
    write_file(folder / "c", "d");
    check_mentions(error_of([&] { index.text(index.size() - 1); }),
                   {source == lines ? "x.jsonl:2: " : "in/c: ", "changed"});
    write_file(folder / "c", "c");
  }
}

BOOST_AUTO_TEST_SUITE_END()
