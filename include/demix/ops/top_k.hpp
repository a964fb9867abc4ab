#pragma once
// The K largest of every row, for a router's few columns.

#include <cmath>
#include <cstdint>

#include "demix/core/host_device.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/precision.hpp"
#include "demix/ops/linear.hpp"

namespace demix::ops {

/// values[r, j], index[r, j] = the j-th largest of x[r] and its column.
template <class T, std::size_t K>
struct TopK {
  using A = accumulate_t<T>;
  const T* x;
  T* values;
  std::int32_t* index;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* xr = x + r * cols;
    for (std::size_t j = 0; j < K; ++j) {
      const std::int32_t* taken = index + r * K;
      const auto is_free = [=](std::size_t c) {
        bool result = true;
        for (std::size_t k = 0; k < j; ++k) result = result && taken[k] != static_cast<std::int32_t>(c);
        return result;
      };
      const A none = -A(INFINITY);
      const A largest = team.max(
          cols, [=](std::size_t c) { return is_free(c) && A(xr[c]) > none ? A(xr[c]) : none; });  // not NaN
      const A found =
          team.max(cols, [=](std::size_t c) { return is_free(c) && A(xr[c]) == largest ? -A(c) : none; });
      const std::size_t column = found > none ? static_cast<std::size_t>(-found) : j;
      T* value = values + r * K + j;
      std::int32_t* out = index + r * K + j;
      team.once([=] {
        *value = xr[column];
        *out = static_cast<std::int32_t>(column);
      });
      team.sync();
    }
  }
};

/// dx[r, index[r, j]] += dvalues[r, j].
template <class T, std::size_t K>
struct TopKBackward {
  using A = accumulate_t<T>;
  const T* dvalues;
  const std::int32_t* index;
  T* dx;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* d = dvalues + r * K;
    const std::int32_t* columns = index + r * K;
    T* dxr = dx + r * cols;
    team.once([=] {
      for (std::size_t j = 0; j < K; ++j) dxr[columns[j]] = T(A(dxr[columns[j]]) + A(d[j]));
    });
  }
};

/// values [N, K] and index [N, K] (device memory): the K largest of each row of x [N, C] and their columns,
/// from the largest on; of equal ones the first column comes first. Numbers come before NaN, whose columns
/// are then some of the first K. Overwrites both; values must not alias x. C is below 2^24.
template <std::size_t K, device::Device D, class T>
void top_k(D& device, In<T> x, Matrix<T> values, std::int32_t* index) {
  require(K <= x.cols && x.cols < (std::size_t{1} << 24), "top_k: ", K, " of ", x.cols, " columns");
  require_shape("top_k: values", values, x.rows, K);
  require(x.contiguous() && values.contiguous(), "top_k: x and values must be contiguous");
  device.rows(x.rows, TopK<T, K>{x.data, values.data, index, x.cols});
}

/// dx [N, C] += dvalues [N, K] at the columns that top_k found.
template <std::size_t K, device::Device D, class T>
void top_k_backward_accumulate(D& device, In<T> dvalues, const std::int32_t* index, Matrix<T> dx) {
  require_shape("top_k_backward_accumulate: dvalues", dvalues, dx.rows, K);
  require(dvalues.contiguous() && dx.contiguous(),
          "top_k_backward_accumulate: dvalues and dx must be contiguous");
  device.rows(dx.rows, TopKBackward<T, K>{dvalues.data, index, dx.data, dx.cols});
}

}  // namespace demix::ops
