#include "demix/core/number.hpp"

#include <boost/test/unit_test.hpp>
#include <cstdint>

using namespace demix;

BOOST_AUTO_TEST_SUITE(number)

BOOST_AUTO_TEST_CASE(whole_numbers) {
  BOOST_TEST(parse_whole<int>("42").value() == 42);
  BOOST_TEST(parse_whole<int>("-7").value() == -7);
  BOOST_TEST(parse_whole<std::uint64_t>("18446744073709551615").value() == UINT64_MAX);
  for (const char* text :
       {"", "-1", "+1", " 1", "1 ", "1x", "0x10", "1e3", "1.0", "one", "18446744073709551616"})
    BOOST_TEST(!parse_whole<std::uint64_t>(text), text);
  BOOST_TEST(!parse_whole<int>("4294967297"));
}

BOOST_AUTO_TEST_CASE(real_numbers) {
  BOOST_TEST(parse_real("0.5").value() == 0.5);
  BOOST_TEST(parse_real("-2e3").value() == -2000);
  BOOST_TEST(parse_real("0e5").value() == 0);
  BOOST_TEST(parse_real(".5").value() == 0.5);
  BOOST_TEST(parse_real("1e-320").value() == 1e-320);  // denormal
  for (const char* text : {"", "x", "nan", "inf", "-inf", "0x1p3", "1e999", "1e-999", "1..2", "1 ", " 1",
                           "1,5", "e5", "-", "1e"})
    BOOST_TEST(!parse_real(text), text);
}

BOOST_AUTO_TEST_CASE(lists_of_real_numbers) {
  const std::vector<double> expected{0.1, 0.9};
  for (const char* text : {"0.1,0.9", "0.1 0.9", "(0.1, 0.9)", "[0.1, 0.9]", " [ 0.1 , 0.9 ] ", "0.1\t0.9"}) {
    const auto found = parse_reals(text);
    BOOST_TEST_REQUIRE(found.has_value(), text);
    BOOST_TEST(*found == expected, boost::test_tools::per_element());
  }
  BOOST_TEST(parse_reals("7")->size() == 1u);
  for (const char* text : {"", "[]", "()", ",", "0.1,", ",0.1", "0.1,,0.9", "[0.1, 0.9", "0.1]", "(0.1]",
                           "0.1;0.9", "[[0.1]]", "x,1"})
    BOOST_TEST(!parse_reals(text), text);
}

BOOST_AUTO_TEST_SUITE_END()
