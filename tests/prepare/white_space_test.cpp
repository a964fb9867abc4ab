#include "demix/prepare/white_space.hpp"

#include <boost/test/unit_test.hpp>
#include <string>

using namespace demix;

namespace {

/// U+`code` in UTF-8, below U+10000.
std::string utf8(unsigned code) {
  const auto byte = [](unsigned value) { return static_cast<char>(value); };
  if (code < 0x80) return {byte(code)};
  if (code < 0x800) return {byte(0xc0 | code >> 6), byte(0x80 | (code & 0x3f))};
  return {byte(0xe0 | code >> 12), byte(0x80 | (code >> 6 & 0x3f)), byte(0x80 | (code & 0x3f))};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(white_space)

BOOST_AUTO_TEST_CASE(words_are_counted_as_python_does) {
  BOOST_TEST(prepare::count_words("") == 0u);
  BOOST_TEST(prepare::count_words(" \n\t ") == 0u);
  BOOST_TEST(prepare::count_words("one") == 1u);
  BOOST_TEST(prepare::count_words("  one two\n\nthree ") == 3u);
  // Recorded from Python: len(text.split()).
  BOOST_TEST(
      prepare::count_words("a\x1c"
                           "b\x1f c\302\240d\343\200\200e\342\200\213f\341\240\216g\302\205h\341\232\200i"
                           "\342\201\237j\342\200\257k\342\200\250l\x0bm") == 11u);
  BOOST_TEST(prepare::count_words("\xc2") == 1u);
  BOOST_TEST(prepare::count_words("a\xe2\x80") == 1u);
}

// Recorded from Python: [c for c in range(0x110000) if not chr(c).strip()].
BOOST_AUTO_TEST_CASE(what_strip_takes_is_what_python_takes) {
  std::string stripped;
  for (unsigned code = 0; code < 0x10000; ++code) {
    const std::string character = utf8(code);
    const bool is_space = (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x20) || code == 0x85 ||
                          code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
                          code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
                          code == 0x3000;
    const std::string text = character + "x" + character;
    if (prepare::white_space_length(text, 0) != (is_space ? character.size() : 0)) BOOST_ERROR(code);
    if (prepare::strip_left(text) != (is_space ? "x" + character : text)) BOOST_ERROR(code);
    if (prepare::strip_right(text) != (is_space ? character + "x" : text)) BOOST_ERROR(code);
    if (is_space) stripped += character;
  }
  BOOST_TEST(prepare::strip(stripped) == "");
  BOOST_TEST(prepare::strip(stripped + "a" + stripped + "b" + stripped) == "a" + stripped + "b");
}

BOOST_AUTO_TEST_CASE(nothing_outside_the_text_is_looked_at) {
  BOOST_TEST(prepare::strip("") == "");
  BOOST_TEST(prepare::white_space_length("", 0) == 0u);
  BOOST_TEST(prepare::white_space_length("a", 1) == 0u);
  const std::string text = "x\342\200\250";  // U+2028
  for (std::size_t length = 1; length < text.size(); ++length)
    BOOST_TEST(prepare::strip(std::string_view(text).substr(0, length)) == text.substr(0, length));
  BOOST_TEST(prepare::strip(text) == "x");
  // Bytes that are no UTF-8 stay, whatever stands beside them.
  for (const std::string bytes : {"\200\250", "\250", "\205", "\240", "\342\200", "\302", "\377"})
    BOOST_TEST(prepare::strip(" " + bytes + " ") == bytes);
  BOOST_TEST(prepare::strip("\302\302\205") == "\302");
}

BOOST_AUTO_TEST_SUITE_END()
