#include "demix/model/embedding.hpp"

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(model_embedding)

BOOST_AUTO_TEST_CASE(sinusoids) {
  const auto table = sinusoidal_positions<double>(3, 4);  // rows 0 .. 4, frequencies 1 and 1 / 10000
  BOOST_TEST(table.size() == 20u);
  for (std::size_t c = 0; c < 4; ++c) BOOST_TEST(table[pad_token * 4 + c] == 0.0);
  const std::vector<double> row2{std::sin(2.0), std::sin(2e-4), std::cos(2.0), std::cos(2e-4)};
  DEMIX_CHECK_CLOSE((std::vector<double>(table.begin() + 8, table.begin() + 12)), row2, 1e-12);
}

BOOST_AUTO_TEST_SUITE_END()
