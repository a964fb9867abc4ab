#pragma once
// A norm policy: root mean square layer normalization (Zhang and Sennrich 2019).

#include <cmath>

#include "demix/model/concepts.hpp"
#include "demix/ops/column_sum.hpp"

namespace policies {
using namespace demix;

/// Row r: y = gain x rstd, with rstd = 1 / sqrt(mean(x^2) + eps), kept.
template <class T, class A = accumulate_t<T>>
struct RMSNormForward {
  const T *x, *gain;
  T* y;
  A* rstd;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T *xr = x + r * cols, *g = gain;
    T* yr = y + r * cols;
    const A squares = team.sum(cols, [=](std::size_t c) { return A(xr[c]) * A(xr[c]); });
    const A s = A(1) / std::sqrt(squares / static_cast<A>(cols) + A(1e-5));
    team.for_each(cols, [=](std::size_t c) { yr[c] = T(A(g[c]) * A(xr[c]) * s); });
    team.once([=, kept = rstd + r] { *kept = s; });
  }
};

/// Row r: dx += rstd (h - xhat mean(h xhat)), h = dy gain, xhat = x rstd. With a column: the term dy xhat.
template <class T, class A = accumulate_t<T>>
struct RMSNormBackward {
  const T *dy, *x, *gain;
  const A* rstd;
  T* dx;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T *dyr = dy + r * cols, *xr = x + r * cols, *g = gain;
    T* dxr = dx + r * cols;
    const A s = rstd[r];
    const A sum = team.sum(cols, [=](std::size_t c) { return A(dyr[c]) * A(g[c]) * A(xr[c]); });
    const A along = s * s * sum / static_cast<A>(cols);
    team.for_each(
        cols, [=](std::size_t c) { dxr[c] = T(A(dxr[c]) + s * (A(dyr[c]) * A(g[c]) - along * A(xr[c]))); });
  }
  DEMIX_HOST_DEVICE A operator()(std::size_t r, std::size_t c) const {
    return A(dy[r * cols + c]) * A(x[r * cols + c]) * rstd[r];
  }
};

struct RMSNorm {
  template <device::Device D, Precision P>
  struct Layer {
    using T = compute_t<P>;
    using Saved = device::Array<D, accumulate_t<T>>;  // rstd [N]

    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : gain_(layout.shared.vector(name + ".weight", config.d_model, Initializer::ones())) {}

    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved& rstd) const {
      const T* gain = pass.weights.shared(gain_).data;
      pass.device.rows(x.rows, RMSNormForward<T>{x.data, gain, y.data, rstd.matrix(1, x.rows).data, x.cols});
    }
    void backward_accumulate(const BackwardPass<D, P>& pass, Matrix<const T> x, Matrix<const T> dy,
                             Matrix<T> dx, Saved& rstd) const {
      const T* gain = pass.weights.shared(gain_).data;
      const RMSNormBackward<T> kernel{dy.data, x.data, gain, rstd.data(), dx.data, x.cols};
      pass.device.rows(x.rows, kernel);
      ops::column_sum_accumulate(pass.device, x.rows, kernel, pass.gradients.shared(gain_),
                                 pass.workspace.columns);
    }

    ParameterRef gain_;
  };
};

}  // namespace policies
