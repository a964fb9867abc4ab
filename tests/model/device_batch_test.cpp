#include "demix/model/device_batch.hpp"

#include <map>

#include "device/counting.hpp"
#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

template <class T>
std::vector<T> copied(const T* from, std::size_t n) {
  return {from, from + n};
}

/// Two sequences of three tokens; the second one is the third of its domain among all ranks.
Batch two_sequences() {
  Batch batch;
  batch.sequence_length = 3;
  batch.source = {7, 4, 7, 9, 4, pad_token};
  batch.target = {4, 7, 2, 4, 2, pad_token};
  batch.segments = {{DomainId{0}, 0, 1}, {DomainId{2}, 1, 2, 3}};
  return batch;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(device_batch)

BOOST_AUTO_TEST_CASE(a_batch_for_training_by_hand) {
  device::Cpu cpu;
  DeviceBatch<device::Cpu> held(cpu);
  const Batch batch = two_sequences();
  held.assign(batch, true);
  BOOST_TEST(copied(held.source(), 6) == batch.source, boost::test_tools::per_element());
  BOOST_TEST(copied(held.target(), 6) == batch.target, boost::test_tools::per_element());
  const std::vector<std::int32_t> row_numbers{0, 1, 2, 9, 10, 11}, segments{0, 0, 3, 2, 3, 6};
  BOOST_TEST(copied(held.row_numbers(), 6) == row_numbers, boost::test_tools::per_element());
  BOOST_TEST(held.segment_count() == 2u);
  BOOST_TEST(copied(held.segments(), 6) == segments, boost::test_tools::per_element());
  const auto groups = held.groups();
  BOOST_REQUIRE(groups.size == 3u);
  const std::vector<Token> tokens{4, 7, 9};
  const std::vector<std::int32_t> firsts{0, 2, 4, 5}, rows{1, 4, 0, 2, 3};
  BOOST_TEST(copied(groups.tokens, 3) == tokens, boost::test_tools::per_element());
  BOOST_TEST(copied(groups.firsts, 4) == firsts, boost::test_tools::per_element());
  BOOST_TEST(copied(groups.rows, 5) == rows, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(groups_hold_each_row_that_is_no_padding_once) {
  device::Cpu cpu;
  DeviceBatch<device::Cpu> held(cpu);
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Batch batch = random_batch(1 + seed, {{0, 2}, {1, seed % 3}}, seed, 6);
    held.assign(batch, true);
    std::map<Token, std::vector<std::int32_t>> expected, found;
    for (std::size_t r = 0; r < batch.rows(); ++r)
      if (batch.source[r] != pad_token) expected[batch.source[r]].push_back(static_cast<std::int32_t>(r));
    const auto groups = held.groups();
    for (std::size_t g = 0; g < groups.size; ++g)
      for (auto i = groups.firsts[g]; i < groups.firsts[g + 1]; ++i)
        found[groups.tokens[g]].push_back(groups.rows[i]);
    BOOST_TEST((found == expected), "seed " << seed);
    BOOST_TEST(groups.size == expected.size());
  }
}

BOOST_AUTO_TEST_CASE(the_next_batch_takes_the_place_of_the_last_without_memory_or_waiting) {
  CountingDevice device;
  DeviceBatch<CountingDevice> held(device);
  held.assign(random_batch(4, {{0, 3}}, 1), false);
  const auto allocations = device.allocations, waits = device.waits;
  for (const bool training : {true, false, true}) {
    const Batch batch = random_batch(4, {{0, 1}, {1, 1}, {2, 1}}, 2);
    held.assign(batch, training);
    BOOST_TEST(copied(held.source(), 12) == batch.source, boost::test_tools::per_element());
    BOOST_TEST(copied(held.target(), 12) == batch.target, boost::test_tools::per_element());
  }
  held.assign(two_sequences(), true);  // a shorter one
  BOOST_TEST(copied(held.source(), 6) == two_sequences().source, boost::test_tools::per_element());
  BOOST_TEST(device.allocations == allocations);
  BOOST_TEST(device.waits == waits);
}

BOOST_AUTO_TEST_SUITE_END()
