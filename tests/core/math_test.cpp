#include "demix/core/math.hpp"

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(math)

BOOST_AUTO_TEST_CASE(fast_exp_over_its_whole_range) {
  double worst = 0;
  for (float x = -87.0f; x <= 88.0f; x += 0.00011f) {
    const double exact = std::exp(static_cast<double>(x));
    worst = std::max(worst, std::fabs(static_cast<double>(fast_exp(x)) / exact - 1));
  }
  BOOST_TEST(worst < MathTolerance::fast_exp_relative);
  BOOST_TEST(fast_exp(0.0f) == 1.0f);
  BOOST_TEST(fast_exp(-0.0f) == 1.0f);
}

BOOST_AUTO_TEST_CASE(fast_exp_saturates_outside) {
  for (const float x : {-87.5f, -1e4f, -std::numeric_limits<float>::infinity()})
    BOOST_TEST(fast_exp(x) == fast_exp(-87.0f));
  for (const float x : {88.5f, 1e4f, std::numeric_limits<float>::infinity()})
    BOOST_TEST(fast_exp(x) == fast_exp(88.0f));
  BOOST_TEST(std::isnan(fast_exp(std::numeric_limits<float>::quiet_NaN())));
}

BOOST_AUTO_TEST_CASE(not_a_number_stays_so_whatever_its_bits_are) {
  for (const std::uint32_t bits :
       {0x7fc00000u, 0xffc00000u, 0x7f800001u, 0x7fc00001u, 0x7fc000ffu, 0x7fffffffu, 0xffffffffu}) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    BOOST_TEST(std::isnan(fast_exp(x)), bits);
    BOOST_TEST(std::isnan(fast_tanh(x)), bits);
    BOOST_TEST(std::isnan(gauss_error(x).erf), bits);
    BOOST_TEST(std::isnan(gauss_error(x).exp_minus_square), bits);
  }
}

BOOST_AUTO_TEST_CASE(gauss_error_over_its_whole_range) {
  double worst = 0, worst_exponential = 0;
  for (float x = -12.0f; x <= 12.0f; x += 0.00003f) {
    const auto g = gauss_error(x);
    const double exact = static_cast<double>(x);
    worst = std::max(worst, std::fabs(static_cast<double>(g.erf) - std::erf(exact)));
    worst_exponential = std::max(
        worst_exponential, std::fabs(static_cast<double>(g.exp_minus_square) - std::exp(-exact * exact)));
  }
  BOOST_TEST(worst < MathTolerance::gauss_error);
  BOOST_TEST(worst_exponential < MathTolerance::gauss_error);
  BOOST_TEST(gauss_error(1e4f).erf == 1.0f);
  BOOST_TEST(gauss_error(-1e4f).erf == -1.0f);
  BOOST_TEST(gauss_error(0.5).erf == std::erf(0.5));
}

BOOST_AUTO_TEST_CASE(fast_tanh_over_its_whole_range) {
  double worst = 0;
  for (float x = -50.0f; x <= 50.0f; x += 0.00013f)
    worst = std::max(worst, std::fabs(static_cast<double>(fast_tanh(x)) - std::tanh(static_cast<double>(x))));
  BOOST_TEST(worst < MathTolerance::fast_tanh);
  BOOST_TEST(fast_tanh(1e10f) == 1.0f);
  BOOST_TEST(fast_tanh(-1e10f) == -1.0f);
  BOOST_TEST(fast_tanh(0.3) == std::tanh(0.3), boost::test_tools::tolerance(1e-15));
}

BOOST_AUTO_TEST_CASE(ceil_div_of_counts) {
  BOOST_TEST(ceil_div(0, 32) == 0);
  BOOST_TEST(ceil_div(1, 32) == 1);
  BOOST_TEST(ceil_div(32, 32) == 1);
  BOOST_TEST(ceil_div(33, 32) == 2);
}

BOOST_AUTO_TEST_SUITE_END()
