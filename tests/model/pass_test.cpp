#include "demix/model/pass.hpp"

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(pass)

BOOST_AUTO_TEST_CASE(a_segment_per_expert_empty_ones_too) {
  const std::vector<std::int32_t> firsts{0, 2, 2, 7};
  const auto segments = segments_by_expert(firsts);
  BOOST_REQUIRE(segments.size() == 3u);
  for (std::size_t e = 0; e < 3; ++e) {
    BOOST_TEST(index(segments[e].expert) == e);
    BOOST_TEST(segments[e].first == static_cast<std::size_t>(firsts[e]));
    BOOST_TEST(segments[e].last == static_cast<std::size_t>(firsts[e + 1]));
  }
  BOOST_TEST(segments_by_expert({}).empty());
}

// Of the pass's seed, step and rows, but never dropout's own numbers; a long site counts with all its bits.
BOOST_AUTO_TEST_CASE(a_layers_random_numbers) {
  device::Cpu cpu;
  const ParameterLayout layout;
  const ParameterArena<device::Cpu, float> weights(cpu, layout, HeldExperts(0));
  Workspace<device::Cpu, Fp32> workspace(cpu);
  const std::vector<std::int32_t> numbers{4, 9};
  const ForwardPass<device::Cpu, Fp32> pass{
      cpu, weights, workspace, 1, {}, {0.1f, Seed{5}, 3, 2, numbers.data()}, true, nullptr};
  const auto random = pass.random(7);
  BOOST_TEST(random(1, 11).word[0] ==
             philox(Seed{5}, 11, 9, 3, static_cast<std::uint32_t>(RandomStream::layers) + (7 << 8)).word[0]);
  for (const std::uint64_t other : {std::uint64_t{8}, std::uint64_t{7} + (std::uint64_t{1} << 30),
                                    std::uint64_t{7} + (std::uint64_t{1} << 60)})
    BOOST_TEST(random(1, 11).word[0] != pass.random(other)(1, 11).word[0]);
}

BOOST_AUTO_TEST_SUITE_END()
