#pragma once
// The softmax of every row, for gates and routers; that of the vocabulary is ops/softmax_cross_entropy.hpp.

#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/precision.hpp"
#include "demix/ops/linear.hpp"

namespace demix::ops {

/// y = exp(x - max) / the sum of that.
template <class T>
struct SoftmaxForward {
  using A = accumulate_t<T>;
  const T* x;
  T* y;
  std::size_t x_stride, y_stride, cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* xr = x + r * x_stride;
    T* yr = y + r * y_stride;
    const A top = team.max(cols, [=](std::size_t c) { return A(xr[c]); });
    const A scale = A(1) / team.sum(cols, [=](std::size_t c) { return fast_exp(A(xr[c]) - top); });
    team.for_each(cols, [=](std::size_t c) { yr[c] = T(scale * fast_exp(A(xr[c]) - top)); });
  }
};

/// dx = y (dy - the sum of y dy).
template <class T, class Gradient>
struct SoftmaxBackward {
  using A = accumulate_t<T>;
  const T* y;
  const Gradient* dy;
  T* dx;
  std::size_t y_stride, dy_stride, dx_stride, cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* yr = y + r * y_stride;
    const Gradient* dyr = dy + r * dy_stride;
    T* dxr = dx + r * dx_stride;
    const A mean = team.sum(cols, [=](std::size_t c) { return A(yr[c]) * A(dyr[c]); });
    team.for_each(cols, [=](std::size_t c) { dxr[c] = T(A(yr[c]) * (A(dyr[c]) - mean)); });
  }
};

/// y [N, C] = softmax(x [N, C]) row by row; overwrites y, which may alias x.
template <device::Device D, class T>
void softmax(D& device, In<T> x, Matrix<T> y) {
  require_shape("softmax: y", y, x.rows, x.cols);
  device.rows(x.rows, SoftmaxForward<T>{x.data, y.data, x.stride, y.stride, x.cols});
}

/// dx [N, C] of softmax's result y and dy; overwrites dx, which may alias y or dy. A gradient that is the
/// same for all rows is a view with the stride 0; it may have T's accumulate type.
template <device::Device D, class T, class Gradient>
void softmax_backward(D& device, In<T> y, Matrix<Gradient> dy, Matrix<T> dx) {
  require_shape("softmax_backward: dy", dy, y.rows, y.cols);
  require_shape("softmax_backward: dx", dx, y.rows, y.cols);
  device.rows(y.rows, SoftmaxBackward<T, std::remove_const_t<Gradient>>{y.data, dy.data, dx.data, y.stride,
                                                                        dy.stride, dx.stride, y.cols});
}

}  // namespace demix::ops
