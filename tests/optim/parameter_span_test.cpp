#include "demix/optim/parameter_span.hpp"

#include <boost/test/unit_test.hpp>

#include "demix/device/cpu.hpp"

using namespace demix;
using Spans = std::vector<optim::ParameterSpan>;

BOOST_AUTO_TEST_SUITE(parameter_span)

BOOST_AUTO_TEST_CASE(neighbours_are_one_span_and_gaps_are_in_none) {
  RegionLayout layout;
  layout.vector("x.a", 3, Initializer::zeros());
  layout.matrix("y.b", 2, 2, Initializer::zeros());
  layout.vector("y.c", 1, Initializer::zeros());
  layout.align();
  layout.vector("y.d", 5, Initializer::zeros());
  const auto of = [&](char first) {
    return optim::spans_of(layout, ExpertId{3},
                           [=](const ParameterInfo& parameter) { return parameter.name[0] == first; });
  };
  BOOST_TEST((of('x') == Spans{{ExpertId{3}, 0, 3}}));
  BOOST_TEST((of('y') == Spans{{ExpertId{3}, 3, 5}, {ExpertId{3}, 16, 5}}));
  BOOST_TEST(of('z').empty());
}

BOOST_AUTO_TEST_CASE(whole_regions_are_all_of_them) {
  device::Cpu device;
  ParameterLayout layout;
  layout.shared.vector("a", 3, Initializer::zeros());
  layout.expert.vector("b", 2, Initializer::zeros());
  const ParameterArena<device::Cpu, float> arena(device, layout, HeldExperts(2));
  BOOST_TEST((optim::whole_regions(arena) ==
              Spans{{RegionId::shared(), 0, 3}, {ExpertId{0}, 0, 2}, {ExpertId{1}, 0, 2}}));
  BOOST_TEST((optim::expert_regions(arena) == Spans{{ExpertId{0}, 0, 2}, {ExpertId{1}, 0, 2}}));
  const ParameterArena<device::Cpu, float> part(device, layout, HeldExperts(3, {ExpertId{1}}));
  BOOST_TEST((optim::expert_regions(part) == Spans{{ExpertId{1}, 0, 2}}));
}

BOOST_AUTO_TEST_SUITE_END()
