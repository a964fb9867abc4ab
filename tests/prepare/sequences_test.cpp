#include "demix/prepare/sequences.hpp"

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

using namespace demix;
using prepare::SequenceUnit;

namespace {

std::vector<std::string> sequences(SequenceUnit unit, std::string_view document) {
  std::vector<std::string> result;
  prepare::for_each_sequence(unit, document,
                             [&](std::string_view sequence) { result.emplace_back(sequence); });
  return result;
}

void check_lines(std::string_view document, const std::vector<std::string>& expected) {
  BOOST_TEST_CONTEXT("document '" << document << "'")
  BOOST_TEST(sequences(SequenceUnit::line, document) == expected, boost::test_tools::per_element());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sequences_of_documents)

BOOST_AUTO_TEST_CASE(a_document_is_itself) {
  for (const std::string document : {"", " \n", "> a\r\n\nb \n"})
    BOOST_TEST(sequences(SequenceUnit::document, document) == std::vector{document},
               boost::test_tools::per_element());
}

// Recorded from Python: a text file that is opened with its defaults, and str.strip.
BOOST_AUTO_TEST_CASE(lines_are_those_of_pythons_text_files) {
  check_lines("a", {"a"});
  check_lines("a\nb", {"a", "b"});
  check_lines("a\nb\n", {"a", "b"});
  check_lines("a\r\nb\rc\n\rd\r\r\ne\r", {"a", "b", "c", "", "d", "", "e"});
  check_lines("a\n\n\nb", {"a", "", "", "b"});
  check_lines("a \n \t\n\302\240b\343\200\200", {"a", "", "b"});
  // These end a line for str.splitlines alone, but are stripped where a line ends otherwise.
  for (const std::string other :
       {"\v", "\f", "\x1c", "\x1d", "\x1e", "\302\205", "\342\200\250", "\342\200\251"})
    check_lines("a" + other + "b" + other + "\n" + other + "c", {"a" + other + "b", "c"});
  check_lines(std::string("a\0\nb", 4), {std::string("a\0", 2), "b"});
}

BOOST_AUTO_TEST_CASE(blank_lines_stay_within_a_document_alone) {
  check_lines("", {""});
  check_lines(" \n\r\n\t", {""});
  check_lines("\n\na\n\n", {"a"});
  // The prefix is the beginning of the document.
  check_lines("<|endoftext|> \n\na\n\n", {"<|endoftext|>", "", "a"});
  check_lines("<|endoftext|>  \n ", {"<|endoftext|>"});
  check_lines("<|endoftext|>   a", {"<|endoftext|>   a"});
}

BOOST_AUTO_TEST_CASE(a_prefix_is_taken_off_as_it_was_put_on) {
  const auto without = [](SequenceUnit unit, std::string_view sequence, std::string_view prefix) {
    return std::string(prepare::without_prefix(unit, sequence, prefix));
  };
  for (const std::string prefix : {"", " ", "> ", " > ", ">", "\302\240>\302\240"})
    for (const std::string text : {"a", "  a b", "\n\na\n b", " \n", "> > a", "a\n>"}) {
      BOOST_TEST_CONTEXT("prefix '" << prefix << "', text '" << text << "'") {
        BOOST_TEST(without(SequenceUnit::document, prefix + text, prefix) == text);
        const auto lines = sequences(SequenceUnit::line, prefix + text);
        // White space that the text begins with is lost only where nothing of the prefix stands before it.
        const std::string_view kept = prepare::strip(prefix).empty() ? prepare::strip(text) : text;
        BOOST_TEST(without(SequenceUnit::line, lines.front(), prefix) ==
                   prepare::strip_right(kept.substr(0, kept.find('\n'))));
      }
    }
  BOOST_TEST(without(SequenceUnit::line, "a", "> ") == "a");
  BOOST_TEST(without(SequenceUnit::line, ">a", "> ") == ">a");
  BOOST_TEST(without(SequenceUnit::document, ">", "> ") == ">");
}

BOOST_AUTO_TEST_SUITE_END()
