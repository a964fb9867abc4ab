#pragma once
// Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019), over spans of regions.

#include <cmath>
#include <cstdint>
#include <vector>

#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/model/parameters.hpp"
#include "demix/optim/parameter_span.hpp"

namespace demix::optim {

struct AdamSettings {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-7;
  double weight_decay = 0.1;  // on all parameters that are trained
};

inline constexpr std::size_t adam_chunk = 16384;

/// With g the gradient times gradient_scale: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
/// x = x (1 - lr decay) - step m / (sqrt(v) inverse_root + eps), for one chunk.
template <class T>
struct AdamUpdate {
  T* x;
  const T* gradient;
  T *m, *v;
  std::size_t size;
  T beta1, beta2, eps, keep, step, inverse_root, gradient_scale;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t chunk) const {
    const std::size_t first = chunk * adam_chunk, rest = size - first;
    T *xc = x + first, *mc = m + first, *vc = v + first;
    const T* gc = gradient + first;
    const T b1 = beta1, b2 = beta2, e = eps, k = keep, s = step, root = inverse_root, scale = gradient_scale;
    team.for_each(rest < adam_chunk ? rest : adam_chunk, [=](std::size_t i) {
      const T g = gc[i] * scale;
      const T first_moment = b1 * mc[i] + (T(1) - b1) * g;
      const T second_moment = b2 * vc[i] + (T(1) - b2) * g * g;
      mc[i] = first_moment;
      vc[i] = second_moment;
      xc[i] = xc[i] * k - s * first_moment / (std::sqrt(second_moment) * root + e);
    });
  }
};

/// The moments of a model's parameters and the update that uses them.
template <class Model>
class Adam {
 public:
  using Arena = typename Model::Arena;

  /// Trains every parameter.
  Adam(Model& model, const AdamSettings& settings)
      : Adam(model, settings, optim::whole_regions(model.values())) {}

  /// Trains these parameters; the others, and their moments, are never written.
  Adam(Model& model, const AdamSettings& settings, std::vector<ParameterSpan> trained)
      : settings_(settings),
        trained_(std::move(trained)),
        first_moment_(model.make_arena()),
        second_moment_(model.make_arena()) {}

  const std::vector<ParameterSpan>& trained() const { return trained_; }

  Arena& first_moment() { return first_moment_; }
  Arena& second_moment() { return second_moment_; }

  /// Update number `update` (from 1) of the parameters that are trained, with gradients times
  /// `gradient_scale`.
  void step(Model& model, const Arena& gradients, std::uint64_t update, double learning_rate,
            double gradient_scale) {
    const double t = static_cast<double>(update);
    const double correction1 = 1 - std::pow(settings_.beta1, t),
                 correction2 = 1 - std::pow(settings_.beta2, t);
    using T = typename Arena::value_type;
    for (const auto& [region, first, count] : trained_) {
      model.device().rows(
          ceil_div(count, adam_chunk),
          AdamUpdate<T>{model.values().region(region).data() + first, gradients.region(region).data() + first,
                        first_moment_.region(region).data() + first,
                        second_moment_.region(region).data() + first, count, T(settings_.beta1),
                        T(settings_.beta2), T(settings_.eps), T(1 - learning_rate * settings_.weight_decay),
                        T(learning_rate / correction1), T(1 / std::sqrt(correction2)), T(gradient_scale)});
    }
  }

 private:
  AdamSettings settings_;
  std::vector<ParameterSpan> trained_;
  Arena first_moment_, second_moment_;
};

}  // namespace demix::optim
