#pragma once
// The gradients of a whole model against finite differences: the test of a policy.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <string>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/philox.hpp"
#include "demix/model/batch.hpp"
#include "demix/model/loss_totals.hpp"
#include "demix/model/parameter_layout.hpp"
#include "demix/ops/dropout.hpp"

namespace demix {

struct GradientCheckOptions {
  std::size_t samples = 4;  // elements of every parameter, spread over it; all of a smaller one
  double step = 1e-5;       // of the central differences
  double noise = 0.3;  // added to every weight, in +- that, so that no bias is zero and no two experts alike
  // The error that is allowed: so much of the parameter's largest gradient, and so much besides.
  double relative = 1e-6, absolute = 2e-9;
};

/// The element, of those that were compared, whose error is the largest part of the allowed one.
struct GradientReport {
  std::string parameter;
  RegionId region = RegionId::shared();
  std::size_t element = 0;
  double analytic = 0, numeric = 0;
  double error = 0;         // as a part of the allowed one; infinite where one of the two is not a number
  std::size_t checked = 0;  // elements

  bool passed() const { return error <= 1; }
  std::string describe() const {
    return concat(parameter, "[", element, "]",
                  region.is_shared() ? "" : concat(" of expert ", index(region.expert())),
                  ": the gradient is ", analytic, ", finite differences give ", numeric, " (", error,
                  " times the allowed error)");
  }
};

namespace gradient_check {

/// While it lives, a model's weights with noise.
template <class Model>
class NoisyWeights {
 public:
  NoisyWeights(Model& model, double noise) : model_(model) {
    for (const RegionId id : model.weights().regions()) {
      const auto region = model.weights().master().region(id);
      auto& kept = weights_.emplace_back(region.size());
      model.device().copy_to_host(kept.data(), region.data(), kept.size());
      std::vector<double> moved = kept;
      const auto number = static_cast<std::uint32_t>(weights_.size());
      for (std::size_t i = 0; i < moved.size(); ++i) {
        const auto random = philox(Seed{1}, static_cast<std::uint32_t>(i), number, 0, 0);
        moved[i] += noise * (2.0 * uniform_unit(random.word[0]) - 1);
      }
      model.device().copy_to_device(region.data(), moved.data(), moved.size());
    }
    model.weights().refresh();
  }
  ~NoisyWeights() {
    for (std::size_t r = 0; r < weights_.size(); ++r)
      model_.device().copy_to_device(model_.weights().master().region(model_.weights().regions()[r]).data(),
                                     weights_[r].data(), weights_[r].size());
    model_.weights().refresh();
  }
  NoisyWeights(const NoisyWeights&) = delete;
  NoisyWeights& operator=(const NoisyWeights&) = delete;

 private:
  Model& model_;
  std::vector<std::vector<double>> weights_;  // without noise, by region
};

}  // namespace gradient_check

/// Compares the gradient that a model accumulates for a batch in training, with what its layers add to the
/// loss, with central differences (f(w + h) - f(w - h)) / 2 h at some elements of every parameter held here,
/// around its weights and some noise. Gradients are accumulated twice over, so that a layer that overwrites
/// them fails. Runs a forward and a backward pass for each difference: meant for models of a few thousand
/// parameters. At a kink, such as relu's, the two differ without a fault; other weights have it elsewhere.
/// Throws Error that names the worst element when one differs by more than is allowed, else returns it; and
/// for a batch with padding among its source tokens, whose embedding has no gradient by design. The weights
/// are put back.
template <class Model>
requires(std::same_as<typename Model::PrecisionType::compute_type, double>&&
             std::same_as<typename Model::PrecisionType::master_type, double>)  // float has too few digits
    GradientReport check_gradients(Model& model, const Batch& batch, const ops::Dropout& dropout = {},
                                   const GradientCheckOptions& options = {}) {
  for (const Token token : batch.source)
    require(
        token != pad_token,
        "gradient check: a source token is padding, whose embedding gets no gradient; give the batch others");
  auto& device = model.device();
  const gradient_check::NoisyWeights noisy(model, options.noise);
  auto gradients = model.make_gradients(), unused = model.make_gradients();
  LossTotals<typename Model::DeviceType> totals(device, model.domains().size());
  for (int pass = 0; pass < 2; ++pass) model.accumulate_gradients(batch, dropout, gradients, totals);
  std::vector<double> sums(totals.domains() + 1);  // of the domains, and what layers add
  const auto loss = [&] {
    totals.clear();
    model.accumulate_gradients(batch, dropout, unused, totals);
    device.copy_to_host(sums.data(), totals.losses(), sums.size());
    double sum = 0;
    for (const double part : sums) sum += part;
    return sum;
  };

  GradientReport worst;
  for (const RegionId id : gradients.regions())
    for (const auto& parameter : id.layout(model.layout()).parameters()) {
      const std::size_t size = parameter.size(), count = std::min(options.samples, size);
      double* const weights = model.weights().master().region(id).data() + parameter.offset;
      const auto set = [&](std::size_t i, double value) {
        device.copy_to_device(weights + i, &value, 1);
        model.weights().refresh();
      };
      std::vector<double> values(size), analytic(size);
      device.copy_to_host(values.data(), weights, size);
      device.copy_to_host(analytic.data(), gradients.region(id).data() + parameter.offset, size);
      double largest = 0;
      for (double& g : analytic) {
        g /= 2;  // of two passes
        largest = std::max(largest, std::fabs(g));
      }
      for (std::size_t k = 0; k < count; ++k) {
        const std::size_t i = count == size ? k : (k * size / count + 7 * k) % size;
        set(i, values[i] + options.step);
        const double above = loss();
        set(i, values[i] - options.step);
        const double below = loss();
        set(i, values[i]);
        const double numeric = (above - below) / (2 * options.step);
        double error = std::fabs(numeric - analytic[i]) / (options.relative * largest + options.absolute);
        if (std::isnan(error)) error = INFINITY;
        if (worst.checked++ == 0 || error > worst.error)
          worst = {parameter.name, id, i, analytic[i], numeric, error, worst.checked};
      }
    }
  require(worst.passed(), "gradient check: ", [&] { return worst.describe(); });
  return worst;
}

}  // namespace demix
