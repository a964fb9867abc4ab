#pragma once
// Stochastic gradient descent with momentum (Polyak 1964; the form of Sutskever et al. 2013 without
// Nesterov's step): u = momentum u + g + weight_decay x, x -= lr u.

#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/optim/optimizer.hpp"

namespace demix::optim {

struct SgdSettings {
  double momentum = 0.9;
  double weight_decay = 0;
};

inline constexpr std::size_t sgd_chunk = 16384;

/// One chunk.
template <class T, class Gradient>
struct SgdUpdate {
  T* x;
  const Gradient* gradient;
  T* velocity;
  std::size_t size;
  T momentum, decay, learning_rate;
  const double* gradient_scale;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t chunk) const {
    if (!(std::fabs(*gradient_scale) <= std::numeric_limits<double>::max())) return;
    const std::size_t first = chunk * sgd_chunk, rest = size - first;
    T *xc = x + first, *uc = velocity + first;
    const Gradient* gc = gradient + first;
    const T mu = momentum, d = decay, lr = learning_rate, scale = static_cast<T>(*gradient_scale);
    team.for_each(rest < sgd_chunk ? rest : sgd_chunk, [=](std::size_t i) {
      const T u = mu * uc[i] + (static_cast<T>(gc[i]) * scale + d * xc[i]);
      uc[i] = u;
      xc[i] -= lr * u;
    });
  }
};

struct Sgd {
  using Settings = SgdSettings;
  static constexpr std::array<std::string_view, 1> slot_names{"sgd_momentum"};

  static NamedNumbers facts(const Settings& settings) {
    return {{"momentum", {settings.momentum}}, {"weight-decay", {settings.weight_decay}}};
  }

  template <device::Device D, class T, class Gradient>
  static void step(D& device, const Settings& settings, const UpdateFacts& facts,
                   const OptimizerSpan<T, Gradient, 1>& span) {
    device.rows(ceil_div(span.weights.size(), sgd_chunk),
                SgdUpdate<T, Gradient>{span.weights.data(), span.gradients.data(), span.state[0].data(),
                                       span.weights.size(), T(settings.momentum), T(settings.weight_decay),
                                       T(facts.learning_rate), facts.gradient_scale});
  }
};

}  // namespace demix::optim
