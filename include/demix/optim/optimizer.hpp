#pragma once
// The optimizer as a policy, and the state that it keeps for what is trained.

#include <array>
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demix/core/precision.hpp"
#include "demix/device/array.hpp"
#include "demix/model/weights.hpp"
#include "demix/optim/parameter_span.hpp"

namespace demix::optim {

/// Numbers under a name.
using NamedNumbers = std::vector<std::pair<std::string, std::vector<double>>>;

/// One update as an optimizer sees it.
struct UpdateFacts {
  std::uint64_t number;  // from 1
  double learning_rate;
  /// Device memory: the factor of the gradients (clipping, and 1 / tokens). Where it is not finite the update
  /// must change nothing.
  const double* gradient_scale;
};

/// Numbers of one update: weights and slots in the master type, gradients in the one they accumulate in.
template <class Master, class Gradient, std::size_t slots>
struct OptimizerSpan {
  std::span<Master> weights;
  std::span<const Gradient> gradients;
  std::array<std::span<Master>, slots> state;  // in the order of slot_names; zero before the first update
};

/// An optimizer: a type without state of its own.
/// - `Settings`: a struct of plain numbers with defaults.
/// - `slot_names`: what it keeps per parameter; the names of files and datasets in checkpoints.
/// - `facts(settings)`: its numbers by the names of their options: what a resumed run must have in common
/// with the one
///   that it continues.
/// - `step(device, settings, facts, span)`: changes weights and state of one span; submits and returns.
template <class O, class D, class P>
concept Optimizer = device::Device<D> && Precision<P> && std::default_initializable<typename O::Settings> &&
    requires(D& device, const typename O::Settings& settings, const UpdateFacts& facts,
             const OptimizerSpan<master_t<P>, gradient_t<P>, O::slot_names.size()>& span) {
  { O::slot_names.front() } -> std::convertible_to<std::string_view>;
  { O::facts(settings) } -> std::same_as<NamedNumbers>;
  O::step(device, settings, facts, span);
};

/// The parameters that are trained, and what the optimizer keeps of each.
template <device::Device D, Precision P, Optimizer<D, P> O>
class OptimizerState {
 public:
  using T = master_t<P>;
  static constexpr std::size_t slots = O::slot_names.size();

  /// Trains these parameters; the others are never written. The state starts at zero, and takes memory for
  /// what is trained alone.
  OptimizerState(D& device, typename O::Settings settings, std::vector<ParameterSpan> trained)
      : device_(&device), settings_(settings), trained_(std::move(trained)) {
    for (const auto& span : trained_) {
      std::vector<device::Array<D, T>> of_span;
      for (std::size_t s = 0; s < slots; ++s) {
        of_span.emplace_back(device, span.count);
        of_span.back().fill_zero();
      }
      state_.push_back(std::move(of_span));
    }
  }

  const std::vector<ParameterSpan>& trained() const { return trained_; }
  /// What slot s keeps of trained span i.
  std::span<T> slot(std::size_t s, std::size_t i) { return {state_[i][s].data(), trained_[i].count}; }

  /// One update of what is trained. Does not wait for the device.
  void step(Weights<D, P>& weights, const GradientArena<D, P>& gradients, const UpdateFacts& facts) {
    for (std::size_t i = 0; i < trained_.size(); ++i) step_span(i, weights, gradients, facts);
    weights.refresh();
  }
  /// The same, where the factor of a region's gradients is its own: facts.gradient_scale is that of the
  /// shared region, and those of the experts stand behind it, in their order.
  void step_by_region(Weights<D, P>& weights, const GradientArena<D, P>& gradients,
                      const UpdateFacts& facts) {
    for (std::size_t i = 0; i < trained_.size(); ++i) {
      const RegionId region = trained_[i].region;
      const std::size_t at = region.is_shared() ? 0 : 1 + index(region.expert());
      step_span(i, weights, gradients, {facts.number, facts.learning_rate, facts.gradient_scale + at});
    }
    weights.refresh();
  }

 private:
  void step_span(std::size_t i, Weights<D, P>& weights, const GradientArena<D, P>& gradients,
                 const UpdateFacts& facts) {
    const auto& [region, first, count] = trained_[i];
    OptimizerSpan<T, gradient_t<P>, slots> span{weights.master().region(region).subspan(first, count),
                                                gradients.region(region).subspan(first, count),
                                                {}};
    for (std::size_t s = 0; s < slots; ++s) span.state[s] = slot(s, i);
    O::step(*device_, settings_, facts, span);
  }

  D* device_;
  typename O::Settings settings_;
  std::vector<ParameterSpan> trained_;
  std::vector<std::vector<device::Array<D, T>>> state_;  // [span][slot]
};

}  // namespace demix::optim
