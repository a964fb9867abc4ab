#pragma once
// The term of the loss that keeps a router from sending all rows to the same experts (Fedus et al., "Switch
// Transformers", 2021, equations 4 to 6).

#include <cstdint>

#include "demix/core/host_device.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/precision.hpp"
#include "demix/device/array.hpp"
#include "demix/ops/softmax.hpp"

namespace demix::ops {

/// Row e: slope[e] = scale times the number of choices of e; sums[e] = the sum of the probabilities of e.
template <class T>
struct ExpertLoads {
  using A = accumulate_t<T>;
  const T* probability;
  const std::int32_t* chosen;
  A *slope, *sums;
  std::size_t rows, experts, choices;
  A scale;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t e) const {
    const T* p = probability + e;
    const std::int32_t *c = chosen, expert = static_cast<std::int32_t>(e);
    const std::size_t stride = experts;
    const A count = team.sum(choices, [=](std::size_t i) { return A(c[i] == expert); });
    const A sum = team.sum(rows, [=](std::size_t r) { return A(p[r * stride]); });
    A *slope_e = slope + e, *sum_e = sums + e;
    const A gradient = scale * count;
    team.once([=] {
      *slope_e = gradient;
      *sum_e = sum;
    });
  }
};

/// *loss += the sum of slope[e] sums[e].
template <class A>
struct LoadBalanceLoss {
  const A *slope, *sums;
  std::size_t experts;
  double* loss;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t) const {
    const A *s = slope, *p = sums;
    const double total = team.sum(
        experts, [=](std::size_t e) { return static_cast<double>(s[e]) * static_cast<double>(p[e]); });
    double* out = loss;
    team.once([=] { *out += total; });
  }
};

/// The loss of n rows is n alpha E sum_e f_e P_e: f_e is the part of their K n choices (chosen [n, K], device
/// memory) that fell on expert e, P_e the mean of its probability, the softmax of the logits [n, E]. Where
/// experts are alike it is n alpha. f has no gradient. The logits become the gradient by them, in place; the
/// loss is added to *loss (device memory) unless that is null. `scratch` grows to 2 E elements. Does not wait
/// for the device.
template <std::size_t K, device::Device D, class T>
void load_balance_with_gradient(D& device, Matrix<T> logits, const std::int32_t* chosen, double alpha,
                                double* loss, device::Array<D, accumulate_t<T>>& scratch) {
  using A = accumulate_t<T>;
  const std::size_t rows = logits.rows, experts = logits.cols;
  require(logits.contiguous(), "load_balance_with_gradient: the logits must be contiguous");
  if (rows == 0) return;
  softmax(device, logits, logits);
  const auto slope = scratch.matrix(2, experts);
  const double scale = alpha * static_cast<double>(experts) / static_cast<double>(rows * K);
  device.rows(experts, ExpertLoads<T>{logits.data, chosen, slope.row(0), slope.row(1), rows, experts,
                                      rows * K, static_cast<A>(scale)});
  if (loss) device.rows(1, LoadBalanceLoss<A>{slope.row(0), slope.row(1), experts, loss});
  softmax_backward(device, logits, Matrix<const A>(slope.data, rows, experts, 0), logits);
}

}  // namespace demix::ops
