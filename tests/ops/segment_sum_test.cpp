#include "demix/ops/segment_sum.hpp"

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(segment_sum)

BOOST_AUTO_TEST_CASE(hand_values_accumulate_also_twice_into_one_sum) {
  device::Cpu cpu;
  const std::vector<float> x{1, 2, 3, 4, 5};
  const std::vector<std::int32_t> segments{2, 0, 2, 0, 2, 2, 2, 2, 4, 1, 4, 5};
  std::vector<double> sums{100, 200, 300};
  ops::segment_sum_accumulate(cpu, x.data(), segments.data(), 4, sums.data());
  BOOST_TEST(sums == (std::vector<double>{100, 205, 310}), boost::test_tools::per_element());
  ops::segment_sum_accumulate(cpu, x.data(), segments.data(), 0, sums.data());
  BOOST_TEST(sums[0] == 100.0);
}

BOOST_AUTO_TEST_CASE(floats_are_added_in_double) {
  device::Cpu cpu;
  // In single precision the small ones would be lost.
  std::vector<float> x(10001, 1.0f);
  x[0] = 1e9f;
  const std::vector<std::int32_t> segments{0, 0, 10001};
  double sum = 0;
  ops::segment_sum_accumulate(cpu, x.data(), segments.data(), 1, &sum);
  BOOST_TEST(sum == 1e9 + 10000);
}

BOOST_AUTO_TEST_SUITE_END()
