#include "demix/data/permutation.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;
using data::RandomPermutation;

namespace {

std::vector<std::uint64_t> values(const RandomPermutation& p) {
  std::vector<std::uint64_t> result;
  for (std::uint64_t i = 0; i < p.size(); ++i) result.push_back(p(i));
  return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(permutation)

BOOST_AUTO_TEST_CASE(is_a_bijection_for_every_size) {
  std::vector<std::uint64_t> sizes(130);
  std::iota(sizes.begin(), sizes.end(), 1u);
  for (const std::uint64_t n : {255u, 256u, 257u, 1000u, 1023u, 1024u, 1025u, 4097u, 65536u, 65537u})
    sizes.push_back(n);
  for (const auto n : sizes) {
    auto sorted = values(RandomPermutation(Seed{7}, 1, 2, n));
    std::sort(sorted.begin(), sorted.end());
    for (std::uint64_t i = 0; i < n; ++i) BOOST_REQUIRE_MESSAGE(sorted[i] == i, "n = " << n);
  }
}

BOOST_AUTO_TEST_CASE(depends_on_every_part_of_the_key) {
  const auto reference = values(RandomPermutation(Seed{1}, 2, 3, 1000));
  BOOST_TEST(values(RandomPermutation(Seed{1}, 2, 3, 1000)) == reference, boost::test_tools::per_element());
  const auto fixed_points = [&](const RandomPermutation& other) {
    std::size_t same = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) same += other(i) == reference[i];
    return same;
  };
  BOOST_TEST(fixed_points(RandomPermutation(Seed{2}, 2, 3, 1000)) < 10u);
  BOOST_TEST(fixed_points(RandomPermutation(Seed{1 + (std::uint64_t{1} << 32)}, 2, 3, 1000)) < 10u);
  BOOST_TEST(fixed_points(RandomPermutation(Seed{1}, 3, 3, 1000)) < 10u);
  BOOST_TEST(fixed_points(RandomPermutation(Seed{1}, 2, 4, 1000)) < 10u);
  BOOST_TEST(fixed_points(RandomPermutation(Seed{1}, 2, 3, 1000, RandomStream::splitting)) < 10u);
}

BOOST_AUTO_TEST_CASE(every_order_of_few_elements_is_about_as_likely) {
  constexpr std::uint32_t keys = 24000;
  for (const std::uint64_t n : {3u, 4u}) {
    std::map<std::vector<std::uint64_t>, double> seen;
    for (std::uint32_t key = 0; key < keys; ++key) ++seen[values(RandomPermutation(Seed{5}, key, 0, n))];
    const double orders = n == 3 ? 6 : 24, expected = keys / orders;
    BOOST_TEST(static_cast<double>(seen.size()) == orders);
    for (const auto& [order, count] : seen) BOOST_TEST(std::abs(count / expected - 1) < 0.25);
  }
}

BOOST_AUTO_TEST_CASE(places_are_uniform) {
  // Chi-square of where each of 10 elements goes, over 20 000 keys: 81 degrees of freedom, 99.99 % below 140.
  constexpr std::size_t n = 10;
  constexpr std::uint32_t keys = 20000;
  double counts[n][n] = {};
  for (std::uint32_t key = 0; key < keys; ++key) {
    const RandomPermutation p(Seed{3}, 0, key, n);
    for (std::uint64_t i = 0; i < n; ++i) ++counts[i][p(i)];
  }
  double chi_square = 0;
  for (const auto& row : counts)
    for (const double count : row)
      chi_square += (count - keys / 10.0) * (count - keys / 10.0) / (keys / 10.0);
  BOOST_TEST(chi_square < 140);
}

BOOST_AUTO_TEST_CASE(neighbours_do_not_stay_together) {
  const std::uint64_t n = 100000;
  const RandomPermutation p(Seed{1}, 0, 0, n);
  double distance = 0;
  for (std::uint64_t i = 0; i + 1 < n; ++i)
    distance += std::abs(static_cast<double>(p(i)) - static_cast<double>(p(i + 1)));
  BOOST_TEST(distance / static_cast<double>(n - 1) == static_cast<double>(n) / 3,
             boost::test_tools::tolerance(0.02));
}

BOOST_AUTO_TEST_CASE(huge_sizes_and_wrong_requests) {
  const std::uint64_t n = (std::uint64_t{1} << 40) + 12345;
  const RandomPermutation p(Seed{1}, 0, 0, n);
  for (std::uint64_t i = 0; i < 1000; ++i) BOOST_REQUIRE(p(n - 1 - i) < n);
  BOOST_CHECK_THROW(p(n), Error);
  BOOST_CHECK_THROW(RandomPermutation(Seed{1}, 0, 0, 0), Error);
  BOOST_CHECK_THROW(RandomPermutation(Seed{1}, 0, 0, (std::uint64_t{1} << 62) + 1), Error);
}

BOOST_AUTO_TEST_SUITE_END()
