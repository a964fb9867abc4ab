#include "demix/model/weights.hpp"

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

struct DoubleMaster {
  using compute_type = float;
  using master_type = double;
  static constexpr const char* name = "fp32 with fp64 master";
};

const double third = 1.0 / 3;

struct Fixture {
  device::Cpu cpu;
  ParameterLayout layout;
  HeldExperts held{3, {ExpertId{0}, ExpertId{2}}};
  Fixture() {
    layout.shared.matrix("a", 3, 7, Initializer::zeros());
    layout.expert.vector("b", 5, Initializer::zeros());
  }
};

/// Gives region number r of the weights the value third + r.
template <class P>
void assign_all(Weights<device::Cpu, P>& weights) {
  double value = third;
  for (const RegionId region : weights.regions()) {
    weights.assign(region, [&](std::span<master_t<P>> values) {
      BOOST_TEST(values.size() == (region.is_shared() ? 21u : 5u));
      std::fill(values.begin(), values.end(), static_cast<master_t<P>>(value));
    });
    value += 1;
  }
}

template <class Arena>
void check_values(const Arena& arena) {
  using T = typename Arena::value_type;
  double value = third;
  for (const RegionId region : arena.regions()) {
    for (const T each : arena.region(region)) BOOST_TEST(each == static_cast<T>(value));
    value += 1;
  }
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(weights, Fixture)

BOOST_AUTO_TEST_CASE(one_type_has_one_copy) {
  using Use = Weights<device::Cpu, Fp32>::Use;
  for (const auto use : {Use::training, Use::evaluation}) {
    Weights<device::Cpu, Fp32> weights(cpu, layout, held, use);
    BOOST_TEST((&weights.compute() == &weights.master()));
    BOOST_TEST(weights.size() == 21u + 2 * 5);
    BOOST_TEST(sum(all_values(weights.master())) == 0.0f);
    assign_all(weights);
    check_values(weights.compute());
  }
}

BOOST_AUTO_TEST_CASE(values_that_are_assigned_reach_both_types) {
  Weights<device::Cpu, DoubleMaster> weights(cpu, layout, held);
  BOOST_TEST(weights.has_master());
  assign_all(weights);
  check_values(weights.master());
  check_values(weights.compute());
}

BOOST_AUTO_TEST_CASE(a_change_of_the_master_is_computed_with_after_refresh) {
  Weights<device::Cpu, DoubleMaster> weights(cpu, layout, held);
  const RegionId second = ExpertId{2};
  std::fill(weights.master().region(second).begin(), weights.master().region(second).end(), third);
  for (const float each : weights.compute().region(second)) BOOST_TEST(each == 0.0f);
  weights.refresh();
  for (const float each : weights.compute().region(second)) BOOST_TEST(each == static_cast<float>(third));
  for (const float each : weights.compute().region(RegionId::shared())) BOOST_TEST(each == 0.0f);
}

BOOST_AUTO_TEST_CASE(evaluation_holds_what_is_computed_with_alone) {
  Weights<device::Cpu, DoubleMaster> weights(cpu, layout, held,
                                             Weights<device::Cpu, DoubleMaster>::Use::evaluation);
  BOOST_TEST(!weights.has_master());
  assign_all(weights);
  check_values(weights.compute());
  BOOST_TEST(weights.size() == 31u);
  BOOST_CHECK_THROW(weights.master(), Error);
  BOOST_CHECK_THROW(std::as_const(weights).master(), Error);
}

BOOST_AUTO_TEST_CASE(an_expert_that_is_not_held_cannot_be_assigned) {
  Weights<device::Cpu, DoubleMaster> weights(cpu, layout, held);
  BOOST_CHECK_THROW(weights.assign(ExpertId{1}, [](auto) {}), Error);
}

BOOST_AUTO_TEST_SUITE_END()
