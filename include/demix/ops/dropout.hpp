#pragma once
// Dropout (Srivastava et al. 2014) whose mask is a pure function of (seed, step, site, row, column): nothing
// is stored, and the backward pass computes the same mask again.

#include "demix/core/host_device.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/precision.hpp"
#include "demix/ops/linear.hpp"
#include "demix/ops/row_random.hpp"

namespace demix::ops {

/// Where and when dropout is applied. Probability 0 leaves values as they are.
struct Dropout {
  float probability = 0;
  Seed seed = {};
  std::uint32_t step = 0;  // of forward passes in training: a number that never comes twice in a run
  std::uint32_t site = 0;  // the place in the model
  /// Device memory: the number that each row has among those of all ranks; null: the rows number themselves.
  const std::int32_t* row_numbers = nullptr;

  bool active() const { return probability > 0; }
  Dropout at(std::uint32_t place) const { return {probability, seed, step, place, row_numbers}; }
};

/// The factor of one element: 0, or 1 / (1 - p).
struct DropoutMask {
  RowRandom random;
  std::uint32_t threshold;
  float scale;

  explicit DropoutMask(const Dropout& dropout)
      : random{dropout.seed, dropout.step, RandomStream::dropout, dropout.site, dropout.row_numbers},
        threshold(static_cast<std::uint32_t>(dropout.probability * 16777216.0f)),
        scale(1.0f / (1.0f - dropout.probability)) {}

  /// The factors of columns 4 group .. 4 group + 3 of the row of that number.
  DEMIX_HOST_DEVICE void factors(std::uint32_t number, std::size_t group, float out[4]) const {
    const PhiloxWords words = random.of_number(number, group);
    for (int k = 0; k < 4; ++k) out[k] = (words.word[k] >> 8) >= threshold ? scale : 0.0f;
  }

  /// f(column, factor) for every column of a row.
  template <class Team, class F>
  DEMIX_HOST_DEVICE void for_each(Team& team, std::size_t row, std::size_t cols, F f) const {
    const DropoutMask mask = *this;
    const std::size_t groups = cols / 4;
    const std::uint32_t number = random.number_of(row);
    team.for_each(groups, [=](std::size_t group) {
      float factor[4];
      mask.factors(number, group, factor);
      for (std::size_t k = 0; k < 4; ++k) f(4 * group + k, factor[k]);
    });
    team.for_each(cols - 4 * groups, [=](std::size_t k) {
      float factor[4];
      mask.factors(number, groups, factor);
      f(4 * groups + k, factor[k]);
    });
  }
};

/// y = residual + branch.
template <class T>
struct Residual {
  const T *branch, *residual;
  T* y;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T *br = branch + r * cols, *rr = residual + r * cols;
    T* yr = y + r * cols;
    using A = accumulate_t<T>;
    team.for_each(cols, [=](std::size_t c) { yr[c] = T(A(rr[c]) + A(br[c])); });
  }
};

/// y = residual + mask branch.
template <class T>
struct DropoutResidual {
  const T *branch, *residual;
  T* y;
  std::size_t cols;
  DropoutMask mask;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T *br = branch + r * cols, *rr = residual + r * cols;
    T* yr = y + r * cols;
    using A = accumulate_t<T>;
    mask.for_each(team, r, cols,
                  [=](std::size_t c, float factor) { yr[c] = T(A(rr[c]) + A(factor) * A(br[c])); });
  }
};

/// y = mask x.
template <class T>
struct DropoutScale {
  const T* x;
  T* y;
  std::size_t cols;
  DropoutMask mask;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* xr = x + r * cols;
    T* yr = y + r * cols;
    using A = accumulate_t<T>;
    mask.for_each(team, r, cols, [=](std::size_t c, float factor) { yr[c] = T(A(factor) * A(xr[c])); });
  }
};

/// y [N, C] = residual [N, C] + dropout(branch [N, C]); y may alias residual or branch.
template <device::Device D, class T>
void dropout_residual(D& device, In<T> branch, In<T> residual, const Dropout& dropout, Matrix<T> y) {
  require_shape("dropout_residual: branch", branch, y.rows, y.cols);
  require_shape("dropout_residual: residual", residual, y.rows, y.cols);
  require(branch.contiguous() && residual.contiguous() && y.contiguous(),
          "dropout_residual: branch, residual and y must be contiguous");
  if (dropout.active())
    device.rows(y.rows, DropoutResidual<T>{branch.data, residual.data, y.data, y.cols, DropoutMask(dropout)});
  else
    device.rows(y.rows, Residual<T>{branch.data, residual.data, y.data, y.cols});
}

/// y [N, C] = dropout(x [N, C]); also the backward pass, with the same settings. y may alias x.
template <device::Device D, class T>
void dropout_scale(D& device, In<T> x, const Dropout& dropout, Matrix<T> y) {
  require_shape("dropout_scale: x", x, y.rows, y.cols);
  require(x.contiguous() && y.contiguous(), "dropout_scale: x and y must be contiguous");
  device.rows(y.rows, DropoutScale<T>{x.data, y.data, y.cols, DropoutMask(dropout)});
}

}  // namespace demix::ops
