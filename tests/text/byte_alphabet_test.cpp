#include "demix/text/byte_alphabet.hpp"

#include <boost/test/unit_test.hpp>

using namespace demix;
using text::ByteAlphabet;

BOOST_AUTO_TEST_SUITE(byte_alphabet)

BOOST_AUTO_TEST_CASE(the_byte_alphabet_is_that_of_gpt2) {
  const ByteAlphabet alphabet;
  BOOST_TEST(alphabet.spelling('A') == "A");
  BOOST_TEST(alphabet.spelling(' ') == "\304\240");   // U+0120
  BOOST_TEST(alphabet.spelling('\n') == "\304\212");  // U+010A
  BOOST_TEST(alphabet.spelling(0) == "\304\200");     // U+0100
  BOOST_TEST(alphabet.spelling(0x7f) == "\304\241");
  BOOST_TEST(alphabet.spelling(0xad) == "\305\203");  // U+0143, the last
  BOOST_TEST(alphabet.spelling(0xff) == "\303\277");
  BOOST_TEST(int{alphabet.order()[0]} == '!');
  BOOST_TEST(int{alphabet.order()[188]} == 0);
  BOOST_TEST(int{alphabet.order()[255]} == 0xad);
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  BOOST_TEST(alphabet.unspell(alphabet.spell(all)) == all);
  BOOST_TEST(alphabet.unspell("\342\202\254 a") == "\342\202\254 a");  // special symbols stand for themselves
}

BOOST_AUTO_TEST_SUITE_END()
