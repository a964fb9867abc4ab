#include "demix/model/parameter_arena.hpp"

#include <boost/test/unit_test.hpp>

#include "demix/device/cpu.hpp"

using namespace demix;

namespace {

struct Fixture {
  device::Cpu cpu;
  ParameterLayout layout;
  ParameterRef a, b;
  Fixture() {
    a = layout.shared.matrix("a", 3, 7, Initializer::zeros());
    b = layout.expert.vector("b", 5, Initializer::zeros());
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(parameter_arena, Fixture)

BOOST_AUTO_TEST_CASE(regions_stand_at_a_constant_stride_in_one_allocation) {
  const ParameterArena<device::Cpu, float> arena(cpu, layout, HeldExperts(4));
  BOOST_TEST(arena.regions().size() == 5u);
  BOOST_TEST(arena.size() == 21u + 4 * 5);
  const auto* start = arena.numbers().data();
  const auto offset = [&](RegionId r) { return arena.region(r).data() - start; };
  BOOST_TEST(offset(RegionId::shared()) == 0);
  for (int e = 1; e < 4; ++e) BOOST_TEST(offset(ExpertId{e}) - offset(ExpertId{e - 1}) == 16);
  for (int e = 0; e < 4; ++e)
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(arena.region(ExpertId{e}).data()) % 64 == 0u);
  for (const float x : arena.numbers()) BOOST_TEST(x == 0.0f);
}

BOOST_AUTO_TEST_CASE(an_arena_has_the_bytes_of_the_experts_held_and_no_other_can_be_asked_for) {
  ParameterArena<device::Cpu, float> arena(cpu, layout, HeldExperts(4, {ExpertId{1}, ExpertId{3}}));
  BOOST_TEST(arena.size() == 21u + 2 * 5);
  BOOST_TEST(arena.numbers().size() == 32u + 2 * 16);
  BOOST_TEST(arena.contains(ExpertId{3}));
  BOOST_TEST(!arena.contains(ExpertId{0}));
  arena.expert(ExpertId{3}, b).data[4] = 7;
  BOOST_TEST(arena.region(ExpertId{3})[4] == 7.0f);
  BOOST_TEST(arena.region(ExpertId{1})[4] == 0.0f);
  BOOST_CHECK_THROW(arena.expert(ExpertId{0}, b), Error);
  BOOST_CHECK_THROW(arena.region(ExpertId{2}), Error);
  BOOST_CHECK_THROW(arena.region(ExpertId{4}), Error);
  BOOST_TEST(arena.shared(a).rows == 3u);
}

BOOST_AUTO_TEST_CASE(a_layout_without_experts_holds_none) {
  ParameterLayout dense;
  dense.shared.vector("a", 3, Initializer::zeros());
  const ParameterArena<device::Cpu, double> arena(cpu, dense, HeldExperts(4));
  BOOST_TEST(arena.regions().size() == 1u);
  BOOST_CHECK_THROW(arena.region(ExpertId{0}), Error);
}

BOOST_AUTO_TEST_CASE(lists_of_held_experts_that_cannot_be) {
  BOOST_CHECK_THROW(HeldExperts(2, {ExpertId{2}}), Error);
  BOOST_CHECK_THROW(HeldExperts(3, {ExpertId{1}, ExpertId{0}}), Error);
  BOOST_CHECK_THROW(HeldExperts(3, {ExpertId{1}, ExpertId{1}}), Error);
  BOOST_TEST(HeldExperts(3, {}).size() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
