#include "demix/core/hash.hpp"

#include <boost/test/unit_test.hpp>

using namespace demix;

BOOST_AUTO_TEST_SUITE(hash)

// The published test vectors of FNV-1a, 64 bits.
BOOST_AUTO_TEST_CASE(published_values) {
  BOOST_TEST(fnv1a("") == 0xcbf29ce484222325u);
  BOOST_TEST(fnv1a("a") == 0xaf63dc4c8601ec8cu);
  BOOST_TEST(fnv1a("foobar") == 0x85944171f73967e8u);
  static_assert(fnv1a("b") == 0xaf63df4c8601f1a5u);
}

BOOST_AUTO_TEST_CASE(a_text_can_be_hashed_in_parts) {
  const std::string text("one text\0 with a zero \xff", 23);
  for (std::size_t cut = 0; cut <= text.size(); ++cut)
    BOOST_TEST(fnv1a(text.substr(cut), fnv1a(text.substr(0, cut))) == fnv1a(text));
}

BOOST_AUTO_TEST_CASE(digits_are_sixteen) {
  BOOST_TEST(hash_digits(0) == "0000000000000000");
  BOOST_TEST(hash_digits(0x0123456789abcdefu) == "0123456789abcdef");
  BOOST_TEST(hash_digits(~std::uint64_t{0}) == "ffffffffffffffff");
}

BOOST_AUTO_TEST_SUITE_END()
