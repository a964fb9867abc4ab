#include "demix/ops/reduce.hpp"

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

template <class T>
double square_sum(const std::vector<T>& x, int threads = 0) {
  device::Cpu cpu(threads);
  device::Array<device::Cpu, T> scratch(cpu);
  double sum = 0;
  ops::accumulate_sum_of_squares(cpu, std::span<const T>(x), scratch, &sum);
  return sum;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(reduce)

BOOST_AUTO_TEST_CASE(hand_values) {
  BOOST_TEST(square_sum(std::vector<float>{}) == 0.0);
  BOOST_TEST(square_sum(std::vector<float>{3, -4}) == 25.0);
}

BOOST_AUTO_TEST_CASE(it_accumulates) {
  device::Cpu cpu;
  device::Array<device::Cpu, float> scratch(cpu);
  const std::vector<float> x{3, -4};
  double sum = 100;
  ops::accumulate_sum_of_squares(cpu, std::span<const float>(x), scratch, &sum);
  BOOST_TEST(sum == 125.0);
}

BOOST_AUTO_TEST_CASE(around_the_chunk) {
  for (const std::size_t n : {1u, 16383u, 16384u, 16385u, 40000u}) {
    const std::vector<float> ones(n, 1.0f);
    BOOST_TEST(square_sum(ones) == static_cast<double>(n));
    const auto x = random_values(n, n);
    double expected = 0;
    for (const double v : x) expected += v * v;
    BOOST_TEST(square_sum(x) == expected, boost::test_tools::tolerance(Tolerance<double>::reduction));
    BOOST_TEST(square_sum(cast<float>(x)) == expected,
               boost::test_tools::tolerance(Tolerance<float>::reduction));
  }
}

BOOST_AUTO_TEST_CASE(the_same_bits_for_any_number_of_threads) {
  const auto x = cast<float>(random_values(200'001, 1));
  BOOST_TEST(square_sum(x, 1) == square_sum(x, 2));
}

BOOST_AUTO_TEST_SUITE_END()
