#include "demix/text/pre_tokenizer.hpp"

#include <random>

#include "data/support.hpp"

using namespace demix::test;
using demix::text::PreTokenizer;

namespace {

std::vector<std::string> pieces(const std::string& text) {
  PreTokenizer tokenizer;
  std::vector<std::string> result;
  tokenizer.split(text, [&](std::string_view piece) { result.emplace_back(piece); });
  return result;
}

void check_pieces(const std::vector<std::string>& expected) {
  std::string text;
  for (const auto& piece : expected) text += piece;
  BOOST_TEST(pieces(text) == expected, boost::test_tools::per_element());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pre_tokenizer)

BOOST_AUTO_TEST_CASE(splits_as_python_regex_does) {
  // Recorded from Python's regex 2026.5.9 with GPT-2's pattern.
  check_pieces({});
  check_pieces({"Hello", " ", " world", "'s", "  \012", " x", "1", "y", " "});
  check_pieces({"it", "''", "s", " '", "ll", "'", "LL", " don", "'t"});
  check_pieces({"\346\227\245\346\234\254", " \350\252\236", "\357\274\221\357\274\222"});
  check_pieces({"e", "\314\201\314\201", " \360\237\221\251\342\200\215\360\237\221\251"});
}

BOOST_AUTO_TEST_CASE(white_space_is_that_of_unicode) {
  check_pieces({"a", "\302\240\343\200\200", " b", "\341\240\216", "c", " \342\200\250", "\342\200\251", "d",
                "\302\205"});
  check_pieces({"\034\035", " a", "\034"});                                                 // U+001C is none
  check_pieces({" \342\200\213", "\302\240", "x", "\302\275\302\2623", " \331\243", "x"});  // nor U+200B
}

BOOST_AUTO_TEST_CASE(bytes_that_are_not_utf8_stand_alone) {
  check_pieces({"ab", "\xff\xfe\x80", " cd"});
  check_pieces({"\xff"});
  check_pieces({"a", "\xc3", "b"});               // a cut two-byte character
  check_pieces({"x", "\xf0\x9f\x98"});            // at the end
  check_pieces({"x", " ", "\xed\xa0\x80", "y"});  // a surrogate
  check_pieces({"\xc0\xaf", "/"});                // an overlong form
  check_pieces({"  ", "\xff", "\n"});
}

BOOST_AUTO_TEST_CASE(nothing_is_lost) {
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    std::string text(random() % 300, '\0');
    // Few distinct bytes, so that valid and damaged characters and white space meet often.
    static constexpr std::string_view alphabet("a 1'\n\xc3\xa9\xe2\x80\x80\xf0\x9f\x98\x80\xff\x00s", 18);
    for (char& c : text) c = alphabet[random() % alphabet.size()];
    std::string joined;
    for (const auto& piece : pieces(text)) {
      BOOST_REQUIRE(!piece.empty());
      joined += piece;
    }
    BOOST_REQUIRE(joined == text);
  }
}

BOOST_AUTO_TEST_CASE(long_runs_are_one_piece) {
  const std::size_t n = std::size_t{4} << 20;
  for (const char c : {'a', '7', '-', ' ', '\xff'}) {
    const auto result = pieces(std::string(n, c));
    BOOST_TEST(result.size() == 1u);
    BOOST_TEST(result.front().size() == n);
  }
}

BOOST_AUTO_TEST_SUITE_END()
