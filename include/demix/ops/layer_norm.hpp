#pragma once
// Layer normalisation over the last axis (Ba et al. 2016): y = (x - mean) rstd gamma + beta,
// rstd = 1 / sqrt(var + eps), with the biased variance, in two passes.

#include "demix/core/host_device.hpp"
#include "demix/core/matrix.hpp"
#include "demix/device/array.hpp"
#include "demix/ops/column_sum.hpp"
#include "demix/ops/linear.hpp"

namespace demix::ops {

template <class T>
struct LayerNormForward {
  using A = accumulate_t<T>;
  const T *x, *gamma, *beta;
  T* y;
  A *mean, *rstd;
  std::size_t cols;
  A eps;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* xr = x + r * cols;
    T* yr = y + r * cols;
    const T *g = gamma, *b = beta;
    const A n = static_cast<A>(cols);
    const A m = team.sum(cols, [=](std::size_t c) { return A(xr[c]); }) / n;
    const A variance = team.sum(cols, [=](std::size_t c) { return (A(xr[c]) - m) * (A(xr[c]) - m); }) / n;
    const A s = A(1) / std::sqrt(variance + eps);
    team.for_each(cols, [=](std::size_t c) { yr[c] = T((A(xr[c]) - m) * s * A(g[c]) + A(b[c])); });
    A *mean_r = mean + r, *rstd_r = rstd + r;
    team.once([=] {
      *mean_r = m;
      *rstd_r = s;
    });
  }
};

/// dx += rstd (g - mean(g) - xhat mean(g xhat)), with g = dy gamma and xhat = (x - mean) rstd.
template <class T>
struct LayerNormBackwardInput {
  using A = accumulate_t<T>;
  const T *dy, *x, *gamma;
  const A *mean, *rstd;
  T* dx;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T *dyr = dy + r * cols, *xr = x + r * cols, *g = gamma;
    T* dxr = dx + r * cols;
    const A m = mean[r], s = rstd[r], n = static_cast<A>(cols);
    const A mean_g = team.sum(cols, [=](std::size_t c) { return A(dyr[c]) * A(g[c]); }) / n;
    const A mean_gx =
        team.sum(cols, [=](std::size_t c) { return A(dyr[c]) * A(g[c]) * (A(xr[c]) - m) * s; }) / n;
    team.for_each(cols, [=](std::size_t c) {
      dxr[c] = T(A(dxr[c]) + s * (A(dyr[c]) * A(g[c]) - mean_g - (A(xr[c]) - m) * s * mean_gx));
    });
  }
};

/// term(r, c) = dy[r, c] xhat[r, c], whose column sums are gamma's gradient.
template <class T>
struct LayerNormGammaTerm {
  using A = accumulate_t<T>;
  const T *dy, *x;
  const A *mean, *rstd;
  std::size_t cols;
  DEMIX_HOST_DEVICE A operator()(std::size_t r, std::size_t c) const {
    return A(dy[r * cols + c]) * (A(x[r * cols + c]) - mean[r]) * rstd[r];
  }
};

/// x, y [N, C]; gamma, beta [1, C]; mean, rstd [1, N] are kept for the backward pass. Overwrites y, mean,
/// rstd.
template <device::Device D, class T>
void layer_norm(D& device, In<T> x, In<T> gamma, In<T> beta, double eps, Matrix<T> y,
                Matrix<accumulate_t<T>> mean, Matrix<accumulate_t<T>> rstd) {
  require_shape("layer_norm: y", y, x.rows, x.cols);
  require_shape("layer_norm: gamma", gamma, 1, x.cols);
  require_shape("layer_norm: beta", beta, 1, x.cols);
  require_shape("layer_norm: mean", mean, 1, x.rows);
  require_shape("layer_norm: rstd", rstd, 1, x.rows);
  require(x.contiguous() && y.contiguous(), "layer_norm: x and y must be contiguous");
  device.rows(x.rows, LayerNormForward<T>{x.data, gamma.data, beta.data, y.data, mean.data, rstd.data, x.cols,
                                          accumulate_t<T>(eps)});
}

/// dx [N, C] += the gradient by x; dgamma, dbeta [1, C] accumulate.
template <device::Device D, class T>
void layer_norm_backward_accumulate(D& device, In<T> dy, In<T> x, In<T> gamma, In<accumulate_t<T>> mean,
                                    In<accumulate_t<T>> rstd, Matrix<T> dx, Matrix<accumulate_t<T>> dgamma,
                                    Matrix<accumulate_t<T>> dbeta,
                                    device::Array<D, accumulate_t<T>>& scratch) {
  require_shape("layer_norm_backward: dy", dy, x.rows, x.cols);
  require_shape("layer_norm_backward: dx", dx, x.rows, x.cols);
  require_shape("layer_norm_backward: dgamma", dgamma, 1, x.cols);
  require(x.contiguous() && dy.contiguous() && dx.contiguous(),
          "layer_norm_backward: x, dy, dx must be contiguous");
  device.rows(x.rows,
              LayerNormBackwardInput<T>{dy.data, x.data, gamma.data, mean.data, rstd.data, dx.data, x.cols});
  column_sum_accumulate(device, x.rows, LayerNormGammaTerm<T>{dy.data, x.data, mean.data, rstd.data, x.cols},
                        dgamma, scratch);
  bias_backward<T>(device, dy, dbeta, scratch);
}

}  // namespace demix::ops
