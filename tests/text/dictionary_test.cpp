#include "demix/text/dictionary.hpp"

#include "data/support.hpp"

using demix::text::Dictionary;
using namespace demix::test;

BOOST_AUTO_TEST_SUITE(dictionary)

BOOST_FIXTURE_TEST_CASE(ids_follow_the_reserved_ones_in_file_order, TemporaryFolder) {
  const auto d =
      Dictionary::load(write_file(path / "dict.txt", "13 850\n262 800\nmadeupword0000 0\nodd symbol 7\n"));
  BOOST_TEST(d.size() == 8u);
  BOOST_TEST(d.symbol(0) == "<s>");
  BOOST_TEST(d.symbol(1) == "<pad>");
  BOOST_TEST(d.symbol(2) == "</s>");
  BOOST_TEST(d.symbol(3) == "<unk>");
  BOOST_TEST(d.id("13") == 4);
  BOOST_TEST(d.id("262") == 5);
  BOOST_TEST(d.id("madeupword0000") == 6);
  BOOST_TEST(d.id("odd symbol") == 7);
  BOOST_TEST(d.id("</s>") == demix::eos_token);
  BOOST_TEST(d.id("absent") == demix::unk_token);
  check_mentions(error_of([&] { d.symbol(8); }), {"8"});
  check_mentions(error_of([&] { d.symbol(-1); }), {"-1"});
}

BOOST_FIXTURE_TEST_CASE(last_line_may_lack_its_newline, TemporaryFolder) {
  BOOST_TEST(Dictionary::load(write_file(path / "dict.txt", "a 1\nb 2")).id("b") == 5);
}

BOOST_FIXTURE_TEST_CASE(fingerprint_sees_symbols_and_order_only, TemporaryFolder) {
  const auto fingerprint = [&](const std::string& text) {
    return Dictionary::load(write_file(path / "dict.txt", text)).fingerprint();
  };
  const auto reference = fingerprint("a 1\nb 2\n");
  BOOST_TEST(reference.size() == 16u);
  BOOST_TEST(reference.find_first_not_of("0123456789abcdef") == std::string::npos);
  BOOST_TEST(fingerprint("a 9\nb 0\n") == reference);
  BOOST_TEST(fingerprint("b 1\na 2\n") != reference);
  BOOST_TEST(fingerprint("a 1\n") != reference);
  BOOST_TEST(fingerprint("ab 1\n") != fingerprint("a 1\nb 1\n"));
}

BOOST_FIXTURE_TEST_CASE(what_fairseqs_loader_accepts_is_accepted, TemporaryFolder) {
  const auto load = [&](const std::string& text) {
    return Dictionary::load(write_file(path / "dict.txt", text));
  };
  const auto plain = load("a 1\nb 2\n").fingerprint();
  for (const char* text : {"a 1\r\nb 2\r\n", "a 1 \nb 2\t \n", "a -1\nb +2\n",
                           "\xef\xbb\xbf"
                           "a 1\nb 2\n",
                           "a 1 #fairseq:overwrite\nb 2 #fairseq:overwrite \r\n"})
    BOOST_TEST(load(text).fingerprint() == plain, text);
  // A symbol that is overwritten has a further id; the earlier one keeps its name.
  const auto twice = load("a 1\nb 2\na 3 #fairseq:overwrite\n<pad> 1 #fairseq:overwrite\nc 1\n");
  BOOST_TEST(twice.size() == 9u);
  BOOST_TEST(twice.id("a") == 6);
  BOOST_TEST(twice.symbol(4) == "a");
  BOOST_TEST(twice.symbol(6) == "a");
  BOOST_TEST(twice.id("<pad>") == 7);
  BOOST_TEST(twice.id("c") == 8);
}

BOOST_FIXTURE_TEST_CASE(bad_files_are_refused_with_file_and_line, TemporaryFolder) {
  const auto message = [&](const std::string& text) {
    return error_of([&] { Dictionary::load(write_file(path / "dict.txt", text)); });
  };
  for (const char* line :
       {"b", "b ", " 5", "b x", "b 1x", "b -", "b 1-", "", "b #fairseq:overwrite", "b 5 #fairseq:other"})
    check_mentions(message(std::string("a 1\n") + line + "\nc 3\n"), {"dict.txt:2", "<symbol> <count>"});
  check_mentions(message("a 1\nb 1\na 2\n"), {"dict.txt:3", "'a'", "twice"});
  check_mentions(message("<pad> 1\n"), {"dict.txt:1", "<pad>"});
  check_mentions(message(""), {"dict.txt", "no symbols"});
  check_mentions(error_of([&] { Dictionary::load(path / "absent.txt"); }), {"absent.txt"});
  check_mentions(error_of([&] { Dictionary::load(path); }), {path.string()});
}

BOOST_AUTO_TEST_SUITE_END()
