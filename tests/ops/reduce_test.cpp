#include "demix/ops/reduce.hpp"

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

template <class T>
double square_sum(const std::vector<T>& x) {
  device::Cpu cpu;
  device::Array<device::Cpu, T> scratch(cpu);
  return ops::sum_of_squares(cpu, std::span<const T>(x), scratch);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(reduce)

BOOST_AUTO_TEST_CASE(hand_values) {
  BOOST_TEST(square_sum(std::vector<float>{}) == 0.0);
  BOOST_TEST(square_sum(std::vector<float>{3, -4}) == 25.0);
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
  double one, two;
  {
    const Threads threads(1);
    one = square_sum(x);
  }
  {
    const Threads threads(2);
    two = square_sum(x);
  }
  BOOST_TEST(one == two);
}

BOOST_AUTO_TEST_SUITE_END()
