#pragma once
// Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019), over spans of regions.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
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

/// With g the gradient times gradient_scale: m = (m - gain1 m) + gain1 g, v = (v - gain2 v) + gain2 g^2,
/// x -= decay x + step m / (sqrt(v) inverse_root + eps), for one chunk. The small numbers 1 - beta and lr
/// times the weight decay come as such: T may not tell 1 - them from 1.
template <class T>
struct AdamUpdate {
  T* x;
  const T* gradient;
  T *m, *v;
  std::size_t size;
  T gain1, gain2, eps, decay, step, inverse_root, gradient_scale;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t chunk) const {
    const std::size_t first = chunk * adam_chunk, rest = size - first;
    T *xc = x + first, *mc = m + first, *vc = v + first;
    const T* gc = gradient + first;
    const T g1 = gain1, g2 = gain2, e = eps, d = decay, s = step, root = inverse_root, scale = gradient_scale;
    team.for_each(rest < adam_chunk ? rest : adam_chunk, [=](std::size_t i) {
      const T g = gc[i] * scale;
      const T first_moment = (mc[i] - g1 * mc[i]) + g1 * g;
      const T second_moment = (vc[i] - g2 * vc[i]) + g2 * g * g;
      mc[i] = first_moment;
      vc[i] = second_moment;
      xc[i] -= d * xc[i] + s * first_moment / (std::sqrt(second_moment) * root + e);
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
    // 1 - beta^t, which for a beta near 1 loses its digits when it is computed as such.
    const auto correction = [update](double beta) {
      return -std::expm1(static_cast<double>(update) * std::log(beta));
    };
    using T = typename Arena::value_type;
    // An eps that T would round to 0 would make 0 / 0 of a parameter that never had a gradient.
    const T eps =
        settings_.eps > 0 ? std::max(static_cast<T>(settings_.eps), std::numeric_limits<T>::min()) : T(0);
    for (const auto& [region, first, count] : trained_) {
      model.device().rows(
          ceil_div(count, adam_chunk),
          AdamUpdate<T>{model.values().region(region).data() + first, gradients.region(region).data() + first,
                        first_moment_.region(region).data() + first,
                        second_moment_.region(region).data() + first, count, T(1 - settings_.beta1),
                        T(1 - settings_.beta2), eps, T(learning_rate * settings_.weight_decay),
                        T(learning_rate / correction(settings_.beta1)),
                        T(1 / std::sqrt(correction(settings_.beta2))), T(gradient_scale)});
    }
  }

 private:
  AdamSettings settings_;
  std::vector<ParameterSpan> trained_;
  Arena first_moment_, second_moment_;
};

}  // namespace demix::optim
