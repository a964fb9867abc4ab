#pragma once
// Adam with decoupled weight decay (Kingma and Ba 2015; Loshchilov and Hutter 2019).

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/optim/optimizer.hpp"

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
template <class T, class Gradient>
struct AdamUpdate {
  T* x;
  const Gradient* gradient;
  T *m, *v;
  std::size_t size;
  T gain1, gain2, eps, decay, step, inverse_root;
  const double* gradient_scale;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t chunk) const {
    if (!(std::fabs(*gradient_scale) <= std::numeric_limits<double>::max())) return;
    const std::size_t first = chunk * adam_chunk, rest = size - first;
    T *xc = x + first, *mc = m + first, *vc = v + first;
    const Gradient* gc = gradient + first;
    const T g1 = gain1, g2 = gain2, e = eps, d = decay, s = step, root = inverse_root,
            scale = static_cast<T>(*gradient_scale);
    team.for_each(rest < adam_chunk ? rest : adam_chunk, [=](std::size_t i) {
      const T g = static_cast<T>(gc[i]) * scale;
      const T first_moment = (mc[i] - g1 * mc[i]) + g1 * g;
      const T second_moment = (vc[i] - g2 * vc[i]) + g2 * g * g;
      mc[i] = first_moment;
      vc[i] = second_moment;
      xc[i] -= d * xc[i] + s * first_moment / (std::sqrt(second_moment) * root + e);
    });
  }
};

struct Adam {
  using Settings = AdamSettings;
  static constexpr std::array<std::string_view, 2> slot_names{"adam_m", "adam_v"};

  static NamedNumbers facts(const Settings& settings) {
    return {{"adam-betas", {settings.beta1, settings.beta2}},
            {"adam-eps", {settings.eps}},
            {"weight-decay", {settings.weight_decay}}};
  }

  template <device::Device D, class T, class Gradient>
  static void step(D& device, const Settings& settings, const UpdateFacts& facts,
                   const OptimizerSpan<T, Gradient, 2>& span) {
    // 1 - beta^t, which for a beta near 1 loses its digits when it is computed as such.
    const auto correction = [&facts](double beta) {
      return -std::expm1(static_cast<double>(facts.number) * std::log(beta));
    };
    // An eps that T would round to 0 would make 0 / 0 of a parameter that never had a gradient.
    const T eps =
        settings.eps > 0 ? std::max(static_cast<T>(settings.eps), std::numeric_limits<T>::min()) : T(0);
    device.rows(
        ceil_div(span.weights.size(), adam_chunk),
        AdamUpdate<T, Gradient>{span.weights.data(), span.gradients.data(), span.state[0].data(),
                                span.state[1].data(), span.weights.size(), T(1 - settings.beta1),
                                T(1 - settings.beta2), eps, T(facts.learning_rate * settings.weight_decay),
                                T(facts.learning_rate / correction(settings.beta1)),
                                T(1 / std::sqrt(correction(settings.beta2))), facts.gradient_scale});
  }
};

}  // namespace demix::optim
