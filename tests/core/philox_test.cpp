#include "demix/core/philox.hpp"

#include "testing.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(philox_generator)

// The published known answers of the Random123 library, philox4x32 with 10 rounds.
BOOST_AUTO_TEST_CASE(known_answers) {
  struct Answer {
    std::uint32_t counter[4], key[2], word[4];
  };
  for (const auto& [c, k, expected] :
       {Answer{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        Answer{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
               {0xffffffff, 0xffffffff},
               {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        Answer{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
               {0xa4093822, 0x299f31d0},
               {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}}) {
    const auto words = philox(Seed{k[0] | static_cast<std::uint64_t>(k[1]) << 32}, c[0], c[1], c[2], c[3]);
    BOOST_TEST(words.word == expected, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(uniform_numbers_never_touch_the_ends) {
  BOOST_TEST(uniform_unit(0) > 0.0f);
  BOOST_TEST(uniform_unit(0xffffffffu) < 1.0f);
  BOOST_TEST(uniform_unit(0x80000000u) == 0.5f, boost::test_tools::tolerance(1e-6f));
  float last = 0;
  for (std::uint64_t word = 0; word <= 0xffffffffu; word += 0x01000000u) {
    BOOST_TEST(uniform_unit(static_cast<std::uint32_t>(word)) > last);
    last = uniform_unit(static_cast<std::uint32_t>(word));
  }
}

BOOST_AUTO_TEST_CASE(uniform_numbers_have_the_right_moments) {
  const int n = 100'000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double u =
        static_cast<double>(uniform_unit(philox(Seed{42}, static_cast<std::uint32_t>(i), 0, 0, 0).word[2]));
    sum += u;
    squares += u * u;
  }
  BOOST_TEST(std::fabs(sum / n - 0.5) < 5 * std::sqrt(1 / 12.0 / n));
  BOOST_TEST(std::fabs(squares / n - 1 / 3.0) < 5 * std::sqrt(4 / 45.0 / n));
}

BOOST_AUTO_TEST_SUITE_END()
