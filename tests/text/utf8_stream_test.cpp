#include "demix/text/utf8_stream.hpp"

#include <boost/test/unit_test.hpp>

using demix::text::to_utf8;
using demix::text::Utf8Stream;

BOOST_AUTO_TEST_SUITE(utf8_stream)

BOOST_AUTO_TEST_CASE(whole_characters_come_as_soon_as_they_are_whole) {
  Utf8Stream stream;
  BOOST_TEST(stream.push("a\xe2") == "a");
  BOOST_TEST(stream.push("\x82") == "");
  BOOST_TEST(stream.push("\xac"
                         "b\xf0\x9f") ==
             "\xe2\x82\xac"
             "b");
  BOOST_TEST(stream.push("\x98\x80") == "\xf0\x9f\x98\x80");
  BOOST_TEST(stream.finish() == "");
}

BOOST_AUTO_TEST_CASE(text_in_any_two_pieces_is_the_same_text) {
  using namespace std::string_literals;
  const std::string text =
      "A\0\x7f \xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\n"s;
  for (std::size_t first = 0; first <= text.size(); ++first)
    for (std::size_t second = first; second <= text.size(); ++second) {
      Utf8Stream stream;
      std::string out = stream.push(text.substr(0, first));
      out += stream.push(text.substr(first, second - first));
      out += stream.push(text.substr(second));
      out += stream.finish();
      BOOST_TEST(out == text);
    }
}

// The Unicode standard's own example (table 3-8) and the edges of table 3-7.
BOOST_AUTO_TEST_CASE(every_longest_broken_beginning_is_one_replacement) {
  const std::string r = "\xef\xbf\xbd";
  BOOST_TEST(to_utf8("a\xf1\x80\x80\xe1\x80\xc2"
                     "b\x80"
                     "c\x80\xbf"
                     "d") == "a" + r + r + r + "b" + r + "c" + r + r + "d");
  BOOST_TEST(to_utf8("\xc0\xaf\xc1\xbf") == r + r + r + r);  // overlong
  BOOST_TEST(to_utf8("\xe0\x9f\xbf") == r + r + r);          // overlong
  BOOST_TEST(to_utf8("\xf0\x8f\xbf\xbf") == r + r + r + r);  // overlong
  BOOST_TEST(to_utf8("\xed\xa0\x80") == r + r + r);          // a surrogate
  BOOST_TEST(to_utf8("\xf4\x90\x80\x80") == r + r + r + r);  // beyond U+10FFFF
  BOOST_TEST(to_utf8("\xf5\xff\xfe") == r + r + r);
  BOOST_TEST(to_utf8("\xe2\x82") == r);
  BOOST_TEST(to_utf8("\xe2\xe2\x82\xac") == r + "\xe2\x82\xac");
  BOOST_TEST(to_utf8("\xf0\x9f\x98") == r);
}

BOOST_AUTO_TEST_SUITE_END()
