#include "demix/optim/schedule.hpp"

#include <boost/test/unit_test.hpp>
#include <vector>

using demix::optim::PolynomialDecay;

BOOST_AUTO_TEST_SUITE(schedule)

BOOST_AUTO_TEST_CASE(warms_up_from_nothing_to_the_peak_and_decays_to_the_last_update) {
  const PolynomialDecay schedule{1.0, 4, 14};
  const std::vector<double> expected{0,   0.25, 0.5, 0.75, 1,   0.9, 0.8, 0.7,
                                     0.6, 0.5,  0.4, 0.3,  0.2, 0.1, 0,   0};
  for (std::size_t u = 1; u <= expected.size(); ++u) BOOST_TEST(schedule.learning_rate(u) == expected[u - 1]);
}

BOOST_AUTO_TEST_CASE(without_warm_up_the_first_update_has_the_peak) {
  const PolynomialDecay schedule{3.0, 0, 2};
  BOOST_TEST(schedule.learning_rate(1) == 3.0);
  BOOST_TEST(schedule.learning_rate(2) == 1.5);
}

BOOST_AUTO_TEST_CASE(the_decay_is_bent_by_the_power_and_ends_where_it_is_told_to) {
  const PolynomialDecay schedule{1.0, 2, 6, 0.5, 2};
  // 0.5 + 0.5 (left / 4)^2
  const std::vector<double> expected{0, 0.5, 1, 0.78125, 0.625, 0.53125, 0.5, 0.5};
  for (std::size_t u = 1; u <= expected.size(); ++u) BOOST_TEST(schedule.learning_rate(u) == expected[u - 1]);
  const PolynomialDecay constant{0.25, 0, 3, 0.125, 0};
  BOOST_TEST(constant.learning_rate(3) == 0.25);
  BOOST_TEST(constant.learning_rate(4) == 0.125);
}

// As an older demix had it: peak u / warmup, and the same decay.
BOOST_AUTO_TEST_CASE(a_warm_up_that_is_ahead_has_the_peak_twice) {
  const PolynomialDecay schedule{1.0, 4, 14, 0, 1, 1};
  const std::vector<double> expected{0.25, 0.5, 0.75, 1, 1, 0.9, 0.8};
  for (std::size_t u = 1; u <= expected.size(); ++u) BOOST_TEST(schedule.learning_rate(u) == expected[u - 1]);
  BOOST_TEST(schedule.learning_rate(15) == 0.0);
  const PolynomialDecay none{3.0, 0, 2, 0, 1, 1};
  BOOST_TEST(none.learning_rate(1) == 3.0);
}

BOOST_AUTO_TEST_SUITE_END()
