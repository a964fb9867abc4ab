#include "demix/optim/schedule.hpp"

#include <boost/test/unit_test.hpp>

using demix::optim::PolynomialDecay;

BOOST_AUTO_TEST_SUITE(schedule)

BOOST_AUTO_TEST_CASE(warms_up_to_the_peak_and_decays_to_the_last_update) {
  const PolynomialDecay schedule{1.0, 4, 14, 1};
  BOOST_TEST(schedule.learning_rate(1) == 0.25);
  BOOST_TEST(schedule.learning_rate(4) == 1.0);
  BOOST_TEST(schedule.learning_rate(5) == 1.0);
  BOOST_TEST(schedule.learning_rate(10) == 0.5);
  BOOST_TEST(schedule.learning_rate(14) == 0.1);
  BOOST_TEST(schedule.learning_rate(15) == 0.0);
}

BOOST_AUTO_TEST_CASE(without_warm_up_the_first_update_has_the_peak) {
  const PolynomialDecay schedule{3.0, 0, 2, 1};
  BOOST_TEST(schedule.learning_rate(1) == 3.0);
  BOOST_TEST(schedule.learning_rate(2) == 1.5);
}

BOOST_AUTO_TEST_CASE(the_power_bends_the_decay) {
  const PolynomialDecay schedule{1.0, 0, 4, 2};
  BOOST_TEST(schedule.learning_rate(3) == 0.25);
}

BOOST_AUTO_TEST_SUITE_END()
