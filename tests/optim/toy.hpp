#pragma once
// As much of a model as an optimizer needs: `size` shared parameters and an expert of one.

#include <span>
#include <vector>

#include "demix/device/cpu.hpp"
#include "demix/optim/optimizer.hpp"

namespace demix::testing {

template <class O>
struct Toy {
  using State = optim::OptimizerState<device::Cpu, Fp32, O>;

  /// Trains the spans, or without any everything.
  explicit Toy(std::size_t size, typename O::Settings settings = {},
               std::vector<optim::ParameterSpan> trained = {})
      : layout(layout_of(size)),
        weights(device, layout, HeldExperts(1)),
        gradients(device, layout, HeldExperts(1)),
        state(device, settings, trained.empty() ? optim::whole_regions(gradients) : std::move(trained)) {}

  std::span<float> x() { return weights.master().region(RegionId::shared()); }
  std::span<float> expert_x() { return weights.master().region(ExpertId{0}); }
  std::span<float> g() { return gradients.region(RegionId::shared()); }
  std::span<float> expert_g() { return gradients.region(ExpertId{0}); }
  void step(int number, double learning_rate, double scale) {
    state.step(weights, gradients, {static_cast<std::uint64_t>(number), learning_rate, &scale});
  }

  static ParameterLayout layout_of(std::size_t size) {
    ParameterLayout layout;
    layout.shared.vector("a", size, Initializer::zeros());
    layout.expert.vector("b", 1, Initializer::zeros());
    return layout;
  }

  device::Cpu device;
  ParameterLayout layout;
  Weights<device::Cpu, Fp32> weights;
  GradientArena<device::Cpu, Fp32> gradients;
  State state;
};

}  // namespace demix::testing
