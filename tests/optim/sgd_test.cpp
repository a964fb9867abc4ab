#include "demix/optim/sgd.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "optim/toy.hpp"

using namespace demix;
using Toy = testing::Toy<optim::Sgd>;

BOOST_AUTO_TEST_SUITE(sgd)

// momentum 0.5, decay 0.25, rate 0.1, gradient 2 * 0.5: u = 1 + 0.25 * 4 = 2, x = 3.8; u = 1 + 1 + 0.95, x
// = 3.505.
BOOST_AUTO_TEST_CASE(hand_value) {
  Toy toy(1, {0.5, 0.25});
  toy.x()[0] = 4;
  toy.g()[0] = 2;
  toy.step(1, 0.1, 0.5);
  BOOST_TEST(toy.x()[0] == 3.8f, boost::test_tools::tolerance(1e-6f));
  toy.step(2, 0.1, 0.5);
  BOOST_TEST(toy.x()[0] == 3.505f, boost::test_tools::tolerance(1e-6f));
  BOOST_TEST(toy.state.slot(0, 0)[0] == 2.95f, boost::test_tools::tolerance(1e-6f));
}

BOOST_AUTO_TEST_CASE(every_chunk_follows_the_reference) {
  const std::size_t size = 2 * optim::sgd_chunk + 7;
  Toy toy(size, {0.9, 0});
  std::vector<double> x(size), u(size, 0.0);
  for (std::size_t i = 0; i < size; ++i)
    toy.x()[i] = static_cast<float>(x[i] = 0.1 * static_cast<double>(i % 11));
  for (int t = 1; t <= 5; ++t) {
    for (std::size_t i = 0; i < size; ++i) {
      const double g = std::sin(0.7 * static_cast<double>(i) + t);
      toy.g()[i] = static_cast<float>(g);
      u[i] = 0.9 * u[i] + g;
      x[i] -= 0.01 * u[i];
    }
    toy.step(t, 0.01, 1);
  }
  double worst = 0;
  for (std::size_t i = 0; i < size; ++i)
    worst = std::max(worst, std::fabs(static_cast<double>(toy.x()[i]) - x[i]));
  BOOST_TEST(worst < 1e-6);
}

BOOST_AUTO_TEST_SUITE_END()
