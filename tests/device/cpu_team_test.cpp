#include "demix/device/cpu_team.hpp"

#include <boost/test/unit_test.hpp>
#include <vector>

using namespace demix;

BOOST_AUTO_TEST_SUITE(cpu_team)

BOOST_AUTO_TEST_CASE(every_element_is_visited_once) {
  device::CpuTeam team;
  for (const std::size_t n : {0u, 1u, 7u, 64u, 1001u}) {
    std::vector<int> visits(n);
    int* v = visits.data();
    team.for_each(n, [=](std::size_t i) { v[i] += 1; });
    BOOST_TEST(visits == std::vector<int>(n, 1), boost::test_tools::per_element());
  }
  int calls = 0;
  team.once([&] { ++calls; });
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(sums_and_maxima_have_the_type_of_what_is_summed) {
  device::CpuTeam team;
  const auto square = [](std::size_t i) { return static_cast<double>(i * i); };
  static_assert(std::is_same_v<decltype(team.sum(3, square)), double>);
  BOOST_TEST(team.sum(0, square) == 0.0);
  BOOST_TEST(team.sum(101, square) == 338350.0);
  const auto hill = [](std::size_t i) { return -std::fabs(static_cast<float>(i) - 70.5f); };
  static_assert(std::is_same_v<decltype(team.max(3, hill)), float>);
  BOOST_TEST(team.max(1000, hill) == -0.5f);
  BOOST_TEST(team.max(5, hill) == -66.5f);
  BOOST_TEST(team.max(0, hill) == -INFINITY);
  const float lowest = std::numeric_limits<float>::lowest();
  BOOST_TEST(team.max(9, [](std::size_t) { return -INFINITY; }) == -INFINITY);
  BOOST_TEST(team.max(9, [=](std::size_t i) { return i == 3 ? lowest : -INFINITY; }) == lowest);
}

BOOST_AUTO_TEST_SUITE_END()
