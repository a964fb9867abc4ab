#pragma once
// The three GEMMs of a dense layer y = x W^T, with weights [out, in] as in the checkpoint. Biases are added
// by the kernel that follows the GEMM anyway (ops/activation.hpp, ops/dropout.hpp, bias_add below).

#include <type_traits>

#include "demix/core/host_device.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/precision.hpp"
#include "demix/device/concepts.hpp"

namespace demix::ops {

using device::Transpose;

/// A read-only view whose element type is taken from the other argument.
template <class T>
using In = std::type_identity_t<Matrix<const T>>;

/// c = op(a) op(b) + beta c; c has the operands' type, or the one their products accumulate in. Throws Error
/// when the shapes do not fit.
template <class T, device::Device D, class Result>
void matmul(D& device, Transpose ta, Matrix<const T> a, Transpose tb, Matrix<const T> b, double beta,
            Matrix<Result> c) {
  const bool at = ta == Transpose::yes, bt = tb == Transpose::yes;
  const std::size_t m = at ? a.cols : a.rows, k = at ? a.rows : a.cols;
  const std::size_t n = bt ? b.rows : b.cols, kb = bt ? b.cols : b.rows;
  require(k == kb && c.rows == m && c.cols == n, "matmul: op(a) is [", m, ", ", k, "], op(b) is [", kb, ", ",
          n, "], c is ", shape_of(c));
  require(k > 0 || beta == 1, "matmul: a product over 0 terms can only be accumulated");
  if (m == 0 || n == 0 || k == 0) return;
  using A = accumulate_t<T>;
  device.gemm(ta, tb, m, n, k, A(1), a.data, a.stride, b.data, b.stride, A(beta), c.data, c.stride);
}

/// y = x W^T. x [N, in], w [out, in], y [N, out]; overwrites y.
template <device::Device D, class T>
void linear(D& device, In<T> x, In<T> w, Matrix<T> y) {
  matmul<T>(device, Transpose::no, x, Transpose::yes, w, 0, y);
}

/// dx = dy W. dy [N, out], w [out, in], dx [N, in]; overwrites dx.
template <device::Device D, class T>
void linear_backward_input(D& device, In<T> dy, In<T> w, Matrix<T> dx) {
  matmul<T>(device, Transpose::no, dy, Transpose::no, w, 0, dx);
}

/// dx += dy W, with the same shapes; accumulates.
template <device::Device D, class T>
void linear_backward_input_accumulate(D& device, In<T> dy, In<T> w, Matrix<T> dx) {
  matmul<T>(device, Transpose::no, dy, Transpose::no, w, 1, dx);
}

/// dw += dy^T x. dy [N, out], x [N, in], dw [out, in]; accumulates.
template <class T, device::Device D>
void linear_backward_weight(D& device, Matrix<const T> dy, Matrix<const T> x, Matrix<accumulate_t<T>> dw) {
  matmul<T>(device, Transpose::yes, dy, Transpose::no, x, 1, dw);
}

/// y[r, :] += bias for every row.
template <class T>
struct BiasAdd {
  T* y;
  std::size_t stride;
  const T* bias;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    T* yr = y + r * stride;
    const T* b = bias;
    using A = accumulate_t<T>;
    team.for_each(cols, [=](std::size_t c) { yr[c] = T(A(yr[c]) + A(b[c])); });
  }
};

/// y [N, C] += bias [1, C] on every row.
template <device::Device D, class T>
void bias_add(D& device, In<T> bias, Matrix<T> y) {
  require_shape("bias_add: bias", bias, 1, y.cols);
  device.rows(y.rows, BiasAdd<T>{y.data, y.stride, bias.data, y.cols});
}

}  // namespace demix::ops
