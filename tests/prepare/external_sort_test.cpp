#include "demix/prepare/external_sort.hpp"

#include <algorithm>
#include <random>
#include <vector>

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;

BOOST_AUTO_TEST_SUITE(external_sort)

BOOST_FIXTURE_TEST_CASE(sorted_in_bounded_memory, TemporaryFolder) {
  for (const std::size_t most : {1u, 7u, 1000u, 5000u}) {
    prepare::ExternalSort<std::uint32_t> sort(path / "runs", most);
    std::vector<std::uint32_t> expected, found;
    std::mt19937 random(3);
    for (int i = 0; i < 3000; ++i) {
      expected.push_back(static_cast<std::uint32_t>(random() % 500));
      sort.add(expected.back());
    }
    std::sort(expected.begin(), expected.end());
    sort.merge([&](std::uint32_t value) { found.push_back(value); });
    BOOST_TEST((found == expected));
  }
  prepare::ExternalSort<int> none(path / "runs");
  none.merge([](int) { BOOST_FAIL("nothing was added"); });
  BOOST_TEST(fs::is_empty(path));
}

BOOST_AUTO_TEST_SUITE_END()
