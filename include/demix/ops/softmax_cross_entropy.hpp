#pragma once
// Softmax and cross-entropy in one pass over a row of logits; the gradient overwrites the logits.

#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/types.hpp"
#include "demix/ops/linear.hpp"

namespace demix::ops {

/// loss[r] = log(sum exp z) - z[target]; a target equal to the padding token has loss 0.
template <class T>
struct CrossEntropy {
  const T* logits;
  const Token* targets;
  T* losses;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* z = logits + r * cols;
    const Token target = targets[r];
    T* loss = losses + r;
    const T highest = team.max(cols, [=](std::size_t c) { return z[c]; });
    const T sum = team.sum(cols, [=](std::size_t c) { return fast_exp(z[c] - highest); });
    team.once([=] { *loss = target == pad_token ? T(0) : highest + std::log(sum) - z[target]; });
  }
};

/// The same loss; z[c] becomes softmax(z)[c] - [c = target], or 0 where the target is ignored.
template <class T>
struct CrossEntropyWithGradient {
  T* logits;
  const Token* targets;
  T* losses;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    T* z = logits + r * cols;
    const Token target = targets[r];
    T* loss = losses + r;
    if (target == pad_token) {
      team.for_each(cols, [=](std::size_t c) { z[c] = T(0); });
      team.once([=] { *loss = T(0); });
      return;
    }
    const T highest = team.max(cols, [=](std::size_t c) { return z[c]; });
    const T z_target = z[target];
    team.sync();
    const T sum = team.sum(cols, [=](std::size_t c) {
      const T e = fast_exp(z[c] - highest);
      z[c] = e;
      return e;
    });
    const T scale = T(1) / sum;
    team.for_each(cols, [=](std::size_t c) { z[c] *= scale; });
    team.sync();
    team.once([=] {
      z[target] -= T(1);
      *loss = highest + std::log(sum) - z_target;
    });
  }
};

/// losses [N] of logits [N, V] for targets [N] (device memory). Overwrites losses.
template <device::Device D, class T>
void cross_entropy(D& device, In<T> logits, const Token* targets, Matrix<T> losses) {
  require_shape("cross_entropy: losses", losses, 1, logits.rows);
  require(logits.contiguous(), "cross_entropy: logits must be contiguous");
  device.rows(logits.rows, CrossEntropy<T>{logits.data, targets, losses.data, logits.cols});
}

/// The same, and logits [N, V] become the gradient of the sum of the losses by the logits.
template <device::Device D, class T>
void cross_entropy_with_gradient(D& device, Matrix<T> logits, const Token* targets, Matrix<T> losses) {
  require_shape("cross_entropy: losses", losses, 1, logits.rows);
  require(logits.contiguous(), "cross_entropy: logits must be contiguous");
  device.rows(logits.rows, CrossEntropyWithGradient<T>{logits.data, targets, losses.data, logits.cols});
}

}  // namespace demix::ops
