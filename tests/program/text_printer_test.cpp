#include "demix/program/text_printer.hpp"

#include <boost/test/unit_test.hpp>

#include "captured.hpp"

using namespace demix;
using namespace demix::program;

namespace {

/// What a printer writes to standard output, which is no terminal here, while print(printer) runs.
template <class Print>
std::string printed(const std::vector<TextPrinter::Start>& starts, const PosteriorBar* bar, Print print) {
  const test::CapturedDescriptor output(STDOUT_FILENO);
  TextPrinter printer(starts, bar);
  print(printer);
  return output.text();
}

/// A bar of 50 columns: so many of each letter.
std::string bar_of(const std::vector<std::pair<std::size_t, char>>& parts) {
  std::string text;
  for (const auto& [count, letter] : parts) text.append(count, letter);
  return text;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(text_printer)

BOOST_AUTO_TEST_CASE(what_does_not_print_is_written_out) {
  BOOST_TEST(escaped("plain text, ü and 漢") == "plain text, ü and 漢");
  BOOST_TEST(escaped("a\nb\tc\rd") == "a\\nb\\tc\\x0dd");
  BOOST_TEST(escaped(std::string("\0\x1b[31m\x7f", 7)) == "\\x00\\x1b[31m\\x7f");
  BOOST_TEST(escaped("\xc2\x9b"
                     "31m") == "\\u009b31m");  // a terminal may take it for ESC [
  BOOST_TEST(escaped("\xc2\x80\xc2\x9f\xc2\xa0") == "\\u0080\\u009f\xc2\xa0");
  BOOST_TEST(escaped("") == "");
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_utf8_are_all_written_out) {
  BOOST_TEST(escaped("\xff") == "\\xff");
  BOOST_TEST(escaped("a\xc3") == "a\\xc3");  // half of a character
  BOOST_TEST(escaped("\xc3\xbc \xe6\xbc") == "\\xc3\\xbc \\xe6\\xbc");
  BOOST_TEST(escaped("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // half of a UTF-16 pair
}

BOOST_AUTO_TEST_CASE(what_is_kept_stays) {
  BOOST_TEST(escaped("a\nb\tc\rd\x1b", "\n\t") == "a\nb\tc\\x0dd\\x1b");
  BOOST_TEST(escaped("\xff\n", "\n") == "\\xff\n");
}

BOOST_AUTO_TEST_CASE(every_expert_has_a_letter_of_its_own) {
  BOOST_TEST(PosteriorBar({"law", "news", "code"}).legend() == "l law  n news  c code");
  // The first letter of its name that is free, then any; case tells letters apart; - and . are none.
  BOOST_TEST(PosteriorBar({"law", "legal", "la", "Law", "--x", "l"}).legend() ==
             "l law  e legal  a la  L Law  x --x  b l");
  std::vector<std::string> many;
  for (int i = 0; i < 64; ++i) many.push_back("-");
  const auto legend = PosteriorBar(many).legend();
  BOOST_TEST(legend.starts_with("a -  b -  c -"));
  BOOST_TEST(legend.ends_with("8 -  9 -  ? -  ? -"));
}

BOOST_AUTO_TEST_CASE(a_line_names_the_most_probable_and_gives_each_its_share) {
  const PosteriorBar bar({"law", "news", "c"});
  BOOST_TEST(bar.line({0.62, 0.28, 0.1}) == "law   0.620  " + bar_of({{31, 'l'}, {14, 'n'}, {5, 'c'}}));
  BOOST_TEST(bar.line({0, 1, 0}) == "news  1.000  " + bar_of({{50, 'n'}}));
  BOOST_TEST(bar.line({0.001, 0.0, 0.999}) == "c     0.999  " + bar_of({{50, 'c'}}));
  // The shares are rounded together, so that the bar is always full.
  const double third = 1.0 / 3;
  BOOST_TEST(bar.line({third, third, third}) == "law   0.333  " + bar_of({{17, 'l'}, {16, 'n'}, {17, 'c'}}));
  BOOST_TEST(bar.line({0.5, 0.5, 1e-9}).size() == 4u + 2 + 5 + 2 + 50);
}

BOOST_AUTO_TEST_CASE(one_text_is_printed_as_it_grows) {
  const test::CapturedDescriptor output(STDOUT_FILENO);
  TextPrinter printer({{"unused", "Once"}}, nullptr);
  const auto start = output.text();
  printer.add(0, " upon", {}, false);
  const auto longer = output.text();
  printer.add(0, "\xc3", {}, false);  // the half of a character waits for the other
  const auto half = output.text();
  printer.add(0, "\xbc\x1b", {}, false);
  printer.add(0, "", {}, true);
  BOOST_TEST(start == "Once");
  BOOST_TEST(longer == "Once upon");
  BOOST_TEST(half == "Once upon");
  BOOST_TEST(output.text() == "Once uponü\x1b\n");
}

BOOST_AUTO_TEST_CASE(several_texts_come_in_their_order) {
  BOOST_TEST(printed({{"first", "a"}, {"second", "b"}, {"third", "c"}}, nullptr, [](TextPrinter& printer) {
               printer.add(2, "7", {}, true);
               printer.add(1, "4", {}, false);
               printer.add(0, "1", {}, false);
               printer.add(1, "5\n", {}, true);
               printer.add(0, "2", {}, true);
             }) == "=== first ===\na12\n\n=== second ===\nb45\n\n=== third ===\nc7\n");
}

BOOST_AUTO_TEST_CASE(with_a_bar_a_text_is_a_line_per_token_and_then_whole) {
  const PosteriorBar bar({"law", "c"});
  const auto found = printed({{"unused", "Hi"}}, &bar, [](TextPrinter& printer) {
    printer.add_to_prompt(0, "Hi", {0.5, 0.5});
    printer.add(0, "\xc3", {1, 0}, false);
    printer.add(0, "\xbc", {1, 0}, false);
    printer.add(0, "ü\n", {0, 1}, false);
    printer.add(0, "", {0, 1}, true);
  });
  const auto all = bar.line({1, 0}), c = bar.line({0, 1});
  BOOST_TEST(found ==
             "l law  c c\n"
             "\"Hi\"              " +
                 bar.line({0.5, 0.5}) +
                 "\n"
                 "--- the prompt ends here\n"
                 "\"\\xc3\"            " +
                 all +
                 "\n"
                 "\"\\xbc\"            " +
                 all +
                 "\n"
                 "\"ü\\n\"             " +
                 c +
                 "\n"
                 "\"</s>\"            " +
                 c +
                 "\n"
                 "\nHiüü\n");
}

BOOST_AUTO_TEST_SUITE_END()
