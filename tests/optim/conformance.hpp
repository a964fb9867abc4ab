#pragma once
// What every optimizer does, whatever its formula.

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "optim/toy.hpp"

namespace demix::testing {

template <class O>
void optimizer_conformance() {
  static_assert(optim::Optimizer<O, device::Cpu, Fp32> && optim::Optimizer<O, device::Cpu, Fp64>);
  const std::set<std::string> names(O::slot_names.begin(), O::slot_names.end());
  BOOST_TEST(names.size() == O::slot_names.size(), "slots have names of their own");

  Toy<O> toy(3);
  for (std::size_t s = 0; s < O::slot_names.size(); ++s)
    for (const float number : toy.state.slot(s, 0)) BOOST_TEST(number == 0.0f, "state starts at zero");
  const auto fill = [&](Toy<O>& t) {
    for (std::size_t i = 0; i < 3; ++i) {
      t.x()[i] = static_cast<float>(i) - 1;
      t.g()[i] = 0.5f * static_cast<float>(i) + 0.1f;
    }
    t.expert_x()[0] = 2;
    t.expert_g()[0] = -1;
  };
  fill(toy);
  const std::vector<float> start(toy.x().begin(), toy.x().end());

  // A scale that is no number changes nothing, neither weights nor state.
  for (const double scale :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    toy.step(1, 0.1, scale);
    BOOST_TEST(std::memcmp(toy.x().data(), start.data(), 3 * sizeof(float)) == 0);
    BOOST_TEST(toy.expert_x()[0] == 2.0f);
    for (std::size_t s = 0; s < O::slot_names.size(); ++s)
      for (const float number : toy.state.slot(s, 0)) BOOST_TEST(number == 0.0f);
  }

  // A learning rate of 0 leaves the weights.
  Toy<O> still(3);
  fill(still);
  still.step(1, 0, 1);
  BOOST_TEST(std::memcmp(still.x().data(), start.data(), 3 * sizeof(float)) == 0);

  // It goes down, repeats bit for bit, and scales gradients as if they were so.
  Toy<O> again(3), scaled(3);
  fill(again);
  fill(scaled);
  for (float& g : scaled.g()) g *= 4;
  scaled.expert_g()[0] *= 4;
  for (int t = 1; t <= 3; ++t) {
    toy.step(t, 0.01, 0.5);
    again.step(t, 0.01, 0.5);
    scaled.step(t, 0.01, 0.125);
  }
  BOOST_TEST(toy.x()[1] < start[1]);
  BOOST_TEST(toy.expert_x()[0] > 2.0f);
  BOOST_TEST(std::memcmp(toy.x().data(), again.x().data(), 3 * sizeof(float)) == 0);
  BOOST_TEST(std::memcmp(toy.x().data(), scaled.x().data(), 3 * sizeof(float)) == 0);
}

}  // namespace demix::testing
