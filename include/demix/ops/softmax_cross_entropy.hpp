#pragma once
// Softmax and cross-entropy in one pass over a row of logits; the gradient overwrites the logits.

#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/precision.hpp"
#include "demix/core/types.hpp"
#include "demix/ops/linear.hpp"

namespace demix::ops {

/// loss[r] = log(sum exp z) - z[target]; a target equal to the padding token has loss 0.
template <class T>
struct CrossEntropy {
  using A = accumulate_t<T>;
  const T* logits;
  const Token* targets;
  A* losses;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* z = logits + r * cols;
    const Token target = targets[r];
    A* loss = losses + r;
    const A highest = team.max(cols, [=](std::size_t c) { return A(z[c]); });
    const A sum = team.sum(cols, [=](std::size_t c) { return fast_exp(A(z[c]) - highest); });
    team.once([=] { *loss = target == pad_token ? A(0) : highest + std::log(sum) - A(z[target]); });
  }
};

/// The same loss; z[c] becomes softmax(z)[c] - [c = target], or 0 where the target is ignored.
template <class T>
struct CrossEntropyWithGradient {
  using A = accumulate_t<T>;
  T* logits;
  const Token* targets;
  A* losses;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    T* z = logits + r * cols;
    const Token target = targets[r];
    A* loss = losses + r;
    if (target == pad_token) {
      team.for_each(cols, [=](std::size_t c) { z[c] = T(0); });
      team.once([=] { *loss = A(0); });
      return;
    }
    const A highest = team.max(cols, [=](std::size_t c) { return A(z[c]); });
    const A z_target = A(z[target]);
    team.sync();
    if constexpr (std::is_same_v<T, A>) {
      const A sum = team.sum(cols, [=](std::size_t c) {
        const A e = fast_exp(z[c] - highest);
        z[c] = e;
        return e;
      });
      const A scale = A(1) / sum;
      team.for_each(cols, [=](std::size_t c) { z[c] *= scale; });
      team.sync();
      team.once([=] {
        z[target] -= A(1);
        *loss = highest + std::log(sum) - z_target;
      });
    } else {  // a narrow type rounds once: the exponentials are computed again
      const A sum = team.sum(cols, [=](std::size_t c) { return fast_exp(A(z[c]) - highest); });
      const A scale = A(1) / sum;
      const auto t = static_cast<std::size_t>(target);
      team.for_each(cols, [=](std::size_t c) {
        z[c] = T(fast_exp(A(z[c]) - highest) * scale - (c == t ? A(1) : A(0)));
      });
      team.once([=] { *loss = highest + std::log(sum) - z_target; });
    }
  }
};

/// losses [N] of logits [N, V] for targets [N] (device memory). Overwrites losses.
template <device::Device D, class T>
void cross_entropy(D& device, Matrix<T> logits, const Token* targets,
                   Matrix<accumulate_t<std::remove_const_t<T>>> losses) {
  require_shape("cross_entropy: losses", losses, 1, logits.rows);
  require(logits.contiguous(), "cross_entropy: logits must be contiguous");
  device.rows(logits.rows,
              CrossEntropy<std::remove_const_t<T>>{logits.data, targets, losses.data, logits.cols});
}

/// The same, and logits [N, V] become the gradient of the sum of the losses by the logits.
template <device::Device D, class T>
void cross_entropy_with_gradient(D& device, Matrix<T> logits, const Token* targets,
                                 Matrix<accumulate_t<T>> losses) {
  require_shape("cross_entropy: losses", losses, 1, logits.rows);
  require(logits.contiguous(), "cross_entropy: logits must be contiguous");
  device.rows(logits.rows, CrossEntropyWithGradient<T>{logits.data, targets, losses.data, logits.cols});
}

}  // namespace demix::ops
