#include "demix/ops/cast.hpp"

#include <limits>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(cast_of_numbers)

BOOST_AUTO_TEST_CASE(every_chunk_is_rounded_to_the_nearest) {
  device::Cpu cpu;
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, ops::cast_chunk, 2 * ops::cast_chunk + 3}) {
    const auto from = random_values(n, 1);
    std::vector<float> to(n, 99.0f);
    ops::cast(cpu, std::span<const double>(from), std::span<float>(to));
    BOOST_TEST((to == cast<float>(from)), n << " numbers");
  }
}

BOOST_AUTO_TEST_CASE(special_values_stay_what_they_are) {
  device::Cpu cpu;
  const std::vector<float> from{std::numeric_limits<float>::infinity(), NAN, -0.0f};
  std::vector<double> to(3, 99.0);
  ops::cast(cpu, std::span<const float>(from), std::span<double>(to));
  BOOST_TEST(std::isinf(to[0]));
  BOOST_TEST(std::isnan(to[1]));
  BOOST_TEST(std::signbit(to[2]));
}

BOOST_AUTO_TEST_CASE(sizes_that_differ_are_an_error) {
  device::Cpu cpu;
  const std::vector<double> from(3);
  std::vector<float> to(4);
  BOOST_CHECK_THROW(ops::cast(cpu, std::span<const double>(from), std::span<float>(to)), Error);
}

BOOST_AUTO_TEST_SUITE_END()
