#include "demix/ops/row_groups.hpp"

#include <numeric>

#include "device/archetype.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Numbers = std::vector<std::int32_t>;

namespace {

Numbers numbers(const std::int32_t* data, std::size_t n) { return {data, data + n}; }

}  // namespace

BOOST_AUTO_TEST_SUITE(row_groups)

BOOST_AUTO_TEST_CASE(hand_value) {
  device::Cpu cpu;
  ops::RowGroups<device::Cpu> groups(cpu);
  const Numbers index{2, 0, 2, 3, 0, 2};
  groups.assign(index.data(), 6, 4);
  BOOST_TEST(numbers(groups.firsts(), 5) == (Numbers{0, 2, 2, 5, 6}), boost::test_tools::per_element());
  BOOST_TEST(numbers(groups.members(), 6) == (Numbers{1, 4, 0, 2, 5, 3}), boost::test_tools::per_element());
  BOOST_TEST(numbers(groups.places(), 6) == (Numbers{2, 0, 3, 5, 1, 4}), boost::test_tools::per_element());
  const auto host = groups.host_firsts();
  BOOST_TEST(Numbers(host.begin(), host.end()) == (Numbers{0, 2, 2, 5, 6}), boost::test_tools::per_element());
}

// Around the size of a chunk, the buffers used again for less and for more.
BOOST_AUTO_TEST_CASE(equal_a_stable_sort_whatever_the_threads) {
  for (const int threads : {1, 3}) {
    device::Cpu cpu(threads);
    ops::RowGroups<device::Cpu> sorted(cpu);
    for (const std::size_t n : {1u, 511u, 512u, 2000u, 513u, 0u})
      for (const std::size_t groups : {1u, 7u, 300u}) {
        Numbers index(n);
        for (std::size_t i = 0; i < n; ++i)
          index[i] = static_cast<std::int32_t>(
              philox(Seed{n}, static_cast<std::uint32_t>(i), 0, 0, 0).word[0] % groups);
        sorted.assign(index.data(), n, groups);
        Numbers members(n), places(n), firsts(groups + 1);
        std::iota(members.begin(), members.end(), 0);
        const auto group = [&](std::int32_t i) { return index[static_cast<std::size_t>(i)]; };
        std::stable_sort(members.begin(), members.end(), [&](auto a, auto b) { return group(a) < group(b); });
        for (std::size_t p = 0; p < n; ++p)
          places[static_cast<std::size_t>(members[p])] = static_cast<std::int32_t>(p);
        for (const std::int32_t g : index) ++firsts[static_cast<std::size_t>(g) + 1];
        std::partial_sum(firsts.begin(), firsts.end(), firsts.begin());
        BOOST_TEST(numbers(sorted.members(), n) == members, boost::test_tools::per_element());
        BOOST_TEST(numbers(sorted.places(), n) == places, boost::test_tools::per_element());
        BOOST_TEST(numbers(sorted.firsts(), groups + 1) == firsts, boost::test_tools::per_element());
        BOOST_TEST(sorted.host_firsts().size() == groups + 1);
      }
  }
}

BOOST_AUTO_TEST_CASE(a_number_that_is_no_group_has_no_place_and_is_an_error_on_the_host) {
  device::Cpu cpu;
  ops::RowGroups<device::Cpu> groups(cpu);
  const Numbers index{1, 2, -1, 0, 1000000};
  groups.assign(index.data(), 5, 2);
  BOOST_TEST(numbers(groups.places(), 5) == (Numbers{1, -1, -1, 0, -1}), boost::test_tools::per_element());
  BOOST_TEST(numbers(groups.members(), 5) == (Numbers{3, 0, -1, -1, -1}), boost::test_tools::per_element());
  BOOST_CHECK_EXCEPTION(groups.host_firsts(), Error, [](const Error& e) {
    return std::string(e.what()) == "row groups: 3 of 5 entries have a number that is not in [0, 2)";
  });
  BOOST_CHECK_THROW(groups.host_firsts(), Error);
  const Numbers good{0, 1, 0, 1, 0};
  groups.assign(good.data(), 5, 2);
  BOOST_TEST(groups.host_firsts()[1] == 3);
  BOOST_CHECK_THROW(groups.assign(good.data(), std::size_t{1} << 31, 2), Error);
}

BOOST_AUTO_TEST_CASE(a_minimal_device_suffices) {
  MinimalDevice device;
  ops::RowGroups<MinimalDevice> groups(device);
  const Numbers index{1, 0, 1};
  groups.assign(index.data(), 3, 2);
  BOOST_TEST(numbers(groups.members(), 3) == (Numbers{1, 0, 2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
