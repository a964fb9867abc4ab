#pragma once
// Rows by an index, and sums of rows by one: how a router sends rows to its experts and brings results back.
//
// Each of N rows has K entries, entry K r + j being the j-th of row r (its j-th expert, say). gather_rows
// makes one row per entry, in the order that an index names entries in; combine_rows brings the K results of
// a row together. With the members and the places of one RowGroups each is the adjoint of the other, and so
// the other's backward pass.
//
// Indices are device memory. One that is out of range cannot be an Error without waiting for the device: it
// makes the whole row NaN, which no training passes over.

#include <cmath>
#include <cstdint>

#include "demix/core/host_device.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/precision.hpp"
#include "demix/ops/linear.hpp"
#include "demix/ops/row_groups.hpp"

namespace demix::ops {

/// y[i] = weights[index[i]] x[index[i] / K]; no weights are weights of 1.
template <class T, std::size_t K>
struct GatherRows {
  const T *x, *weights;
  const std::int32_t* index;
  T* y;
  std::size_t entries, cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t i) const {
    using A = accumulate_t<T>;
    const auto entry = static_cast<std::size_t>(index[i]);  // a negative one is beyond all
    T* yi = y + i * cols;
    if (entry >= entries) {
      team.for_each(cols, [=](std::size_t c) { yi[c] = T(NAN); });
      return;
    }
    const T* row = x + entry / K * cols;
    const A weight = weights ? A(weights[entry]) : A(1);
    team.for_each(cols, [=](std::size_t c) { yi[c] = T(weight * A(row[c])); });
  }
};

/// y[r] = sum over j of weights[r, j] x[index[r, j]].
template <class T, std::size_t K>
struct CombineRows {
  using A = accumulate_t<T>;
  const T *x, *weights;
  const std::int32_t* index;
  T* y;
  std::size_t rows, cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* row[K];
    A weight[K];
    bool found = true;
    for (std::size_t j = 0; j < K; ++j) {
      const auto at = static_cast<std::size_t>(index[r * K + j]);
      found = found && at < rows;
      row[j] = x + (at < rows ? at : 0) * cols;
      weight[j] = weights ? A(weights[r * K + j]) : A(1);
    }
    T* yr = y + r * cols;
    if (!found) {
      team.for_each(cols, [=](std::size_t c) { yr[c] = T(NAN); });
      return;
    }
    team.for_each(cols, [=](std::size_t c) {
      A sum = weight[0] * A(row[0][c]);
      for (std::size_t j = 1; j < K; ++j) sum += weight[j] * A(row[j][c]);
      yr[c] = T(sum);
    });
  }
};

/// dweights[r, j] = the inner product of dy[r] and x[index[r, j]].
template <class T, std::size_t K>
struct CombineRowsBackwardWeights {
  using A = accumulate_t<T>;
  const T *dy, *x;
  const std::int32_t* index;
  T* dweights;
  std::size_t rows, cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* dyr = dy + r * cols;
    for (std::size_t j = 0; j < K; ++j) {
      const auto at = static_cast<std::size_t>(index[r * K + j]);
      const T* row = x + (at < rows ? at : 0) * cols;
      const A product = team.sum(cols, [=](std::size_t c) { return A(dyr[c]) * A(row[c]); });
      T* out = dweights + r * K + j;
      const T result = at < rows ? T(product) : T(NAN);
      team.once([=] { *out = result; });
    }
  }
};

/// dx[g] += the sum of dy over the members of group g, in their order.
template <class T>
struct ScatterRows {
  using A = accumulate_t<T>;
  const T* dy;
  const std::int32_t *firsts, *members;
  A* dx;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t g) const {
    A* d = dx + g * cols;
    for (std::int32_t i = firsts[g]; i < firsts[g + 1]; ++i) {
      const T* row = dy + static_cast<std::size_t>(members[i]) * cols;
      team.for_each(cols, [=](std::size_t c) { d[c] += A(row[c]); });
    }
  }
};

/// y [n, C]: row i is that of x [N, C] which entry index[i] belongs to, times the entry's weight: y[i] =
/// weights[r, j] x[r] for index[i] = K r + j. weights [N, K], or without data for none. Overwrites y, which
/// must not alias x.
template <std::size_t K = 1, device::Device D, class T>
void gather_rows(D& device, In<T> x, const std::int32_t* index, Matrix<T> y, In<T> weights = {}) {
  require(x.cols == y.cols, "gather_rows: x is ", shape_of(x), ", y is ", shape_of(y));
  require(x.contiguous() && y.contiguous(), "gather_rows: x and y must be contiguous");
  if (weights.data) require_shape("gather_rows: weights", weights, x.rows, K);
  device.rows(y.rows, GatherRows<T, K>{x.data, weights.data, index, y.data, x.rows * K, x.cols});
}

/// dx [N, C] += the adjoint of gather_rows with K = 1, of the index that was grouped by the N rows of x: row
/// r gets the rows of dy [n, C] that are in group r, in the order of its members, and those in no group go
/// nowhere. One team adds up a group, so that the largest one decides how long it takes.
template <class T, device::Device D>
void scatter_rows_accumulate(D& device, const RowGroups<D>& groups, Matrix<const T> dy,
                             Matrix<accumulate_t<T>> dx) {
  require_shape("scatter_rows_accumulate: dy", dy, groups.size(), dx.cols);
  require_shape("scatter_rows_accumulate: dx", dx, groups.groups(), dx.cols);
  require(dx.contiguous() && dy.contiguous(), "scatter_rows_accumulate: dy and dx must be contiguous");
  device.rows(groups.groups(), ScatterRows<T>{dy.data, groups.firsts(), groups.members(), dx.data, dx.cols});
}

/// y [N, C]: row r is the sum over j of weights[r, j] x[index[r, j]]. x [n, C], index [N, K], weights [N, K],
/// or without data for none. Overwrites y, which must not alias x.
template <std::size_t K, device::Device D, class T>
void combine_rows(D& device, In<T> x, const std::int32_t* index, Matrix<T> y, In<T> weights = {}) {
  static_assert(K > 0);
  require(x.cols == y.cols, "combine_rows: x is ", shape_of(x), ", y is ", shape_of(y));
  require(x.contiguous() && y.contiguous(), "combine_rows: x and y must be contiguous");
  if (weights.data) require_shape("combine_rows: weights", weights, y.rows, K);
  device.rows(y.rows, CombineRows<T, K>{x.data, weights.data, index, y.data, x.rows, x.cols});
}

/// dweights [N, K] = the gradient of combine_rows by its weights, of dy [N, C] and x [n, C]; overwrites.
template <std::size_t K, device::Device D, class T>
void combine_rows_backward_weights(D& device, In<T> dy, In<T> x, const std::int32_t* index,
                                   Matrix<T> dweights) {
  require(x.cols == dy.cols, "combine_rows_backward_weights: x is ", shape_of(x), ", dy is ", shape_of(dy));
  require_shape("combine_rows_backward_weights: dweights", dweights, dy.rows, K);
  require(x.contiguous() && dy.contiguous() && dweights.contiguous(),
          "combine_rows_backward_weights: x, dy and dweights must be contiguous");
  device.rows(dy.rows,
              CombineRowsBackwardWeights<T, K>{dy.data, x.data, index, dweights.data, x.rows, x.cols});
}

}  // namespace demix::ops
