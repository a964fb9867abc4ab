#pragma once
// Sums over the rows of a matrix: the gradients of biases and of layer norm's parameters. Two stages in an
// order that does not depend on the number of threads: chunks of rows into partial sums, then the partial
// sums in order.

#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/precision.hpp"
#include "demix/device/array.hpp"

namespace demix::ops {

inline constexpr std::size_t column_sum_rows_per_chunk = 32;
inline constexpr std::size_t column_sum_tile = 256;

/// Row `chunk` of partial [chunks, cols] = the sum of term(r, c) over the chunk's rows.
template <class T, class Term>
struct ColumnPartialSum {
  Term term;
  T* partial;
  std::size_t rows, cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t chunk) const {
    T* sum = partial + chunk * cols;
    const std::size_t first = chunk * column_sum_rows_per_chunk;
    const std::size_t last =
        first + column_sum_rows_per_chunk < rows ? first + column_sum_rows_per_chunk : rows;
    const Term f = term;
    team.for_each(cols, [=](std::size_t c) { sum[c] = f(first, c); });
    for (std::size_t r = first + 1; r < last; ++r)
      team.for_each(cols, [=](std::size_t c) { sum[c] += f(r, c); });
  }
};

/// out[c] += the sum over chunks of partial[chunk, c], for one tile of columns.
template <class T>
struct ColumnFinalSum {
  const T* partial;
  T* out;
  std::size_t chunks, cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t tile) const {
    const std::size_t first = tile * column_sum_tile;
    const std::size_t width = cols - first < column_sum_tile ? cols - first : column_sum_tile;
    T* o = out + first;
    for (std::size_t k = 0; k < chunks; ++k) {
      const T* p = partial + k * cols + first;
      team.for_each(width, [=](std::size_t c) { o[c] += p[c]; });
    }
  }
};

/// out[c] += sum over r of term(r, c), r in [0, rows), c in [0, out.cols). Accumulates. `scratch` grows to
/// ceil(rows / 32) * cols elements.
template <device::Device D, class T, class Term>
void column_sum_accumulate(D& device, std::size_t rows, Term term, Matrix<T> out,
                           device::Array<D, T>& scratch) {
  if (rows == 0) return;
  require(out.rows == 1, "column_sum: out has shape ", shape_of(out), ", expected one row");
  const std::size_t chunks = ceil_div(rows, column_sum_rows_per_chunk);
  const Matrix<T> partial = scratch.matrix(chunks, out.cols);
  device.rows(chunks, ColumnPartialSum<T, Term>{term, partial.data, rows, out.cols});
  device.rows(ceil_div(out.cols, column_sum_tile),
              ColumnFinalSum<T>{partial.data, out.data, chunks, out.cols});
}

/// term(r, c) = x[r, c].
template <class T>
struct ElementTerm {
  const T* x;
  std::size_t stride;
  DEMIX_HOST_DEVICE accumulate_t<T> operator()(std::size_t r, std::size_t c) const {
    return accumulate_t<T>(x[r * stride + c]);
  }
};

/// dbias [1, C] += the column sums of dy [N, C].
template <class T, device::Device D>
void bias_backward(D& device, Matrix<const T> dy, Matrix<accumulate_t<T>> dbias,
                   device::Array<D, accumulate_t<T>>& scratch) {
  require_shape("bias_backward: dbias", dbias, 1, dy.cols);
  column_sum_accumulate(device, dy.rows, ElementTerm<T>{dy.data, dy.stride}, dbias, scratch);
}

}  // namespace demix::ops
