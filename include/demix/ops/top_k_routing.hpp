#pragma once
// A router's whole way: rows to K experts each, and their results back, with all gradients (Shazeer et al.,
// "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer", 2017).

#include <cstdint>
#include <span>

#include "demix/device/array.hpp"
#include "demix/ops/gather.hpp"
#include "demix/ops/row_groups.hpp"
#include "demix/ops/softmax.hpp"
#include "demix/ops/top_k.hpp"

namespace demix::ops {

/// Row r goes to the experts of its K largest logits, and its result is y[r] = sum over them of gate times
/// the expert's output, where the gates are the softmax of those K logits. No row is dropped. Forward the
/// members are called in the order of this page, and so on the way back. Only host_firsts waits for the
/// device. Buffers only grow.
template <device::Device D, class T, std::size_t K>
class TopKRouting {
 public:
  explicit TopKRouting(D& device)
      : device_(&device), gates_(device), d_gates_(device), chosen_(device), groups_(device) {}

  /// Chooses by logits [N, E].
  void route(Matrix<const T> logits) {
    rows_ = logits.rows;
    const auto gates = gates_.matrix(rows_, K);
    const auto chosen = chosen_.matrix(rows_, K);
    top_k<K>(*device_, logits, gates, chosen.data);
    softmax(*device_, gates, gates);
    groups_.assign(chosen.data, chosen.size(), logits.cols);
  }
  /// in [K N, C] = each row of x [N, C] once for every expert of it, the rows of an expert side by side.
  void dispatch(Matrix<const T> x, Matrix<T> in) const {
    require_rows("dispatch: x", x, rows_);
    require_rows("dispatch: in", in, K * rows_);
    gather_rows<K>(*device_, x, groups_.members(), in);
  }
  /// Expert e has the rows [firsts[e], firsts[e + 1]) of these; E + 1 numbers, valid until the next `route`.
  /// The first call after one waits for the device.
  std::span<const std::int32_t> host_firsts() { return groups_.host_firsts(); }
  /// y [N, C] of the experts' outputs [K N, C].
  void combine(Matrix<const T> out, Matrix<T> y) const {
    require_rows("combine: out", out, K * rows_);
    require_rows("combine: y", y, rows_);
    combine_rows<K>(*device_, out, groups_.places(), y, gates());
  }
  /// The experts that were chosen, [N, K] (device memory).
  const std::int32_t* chosen() const { return chosen_.data(); }

  /// Of dy [N, C]: the experts' outputs [K N, C] become the gradient by them.
  void combine_backward(Matrix<const T> dy, Matrix<T> out) {
    require_rows("combine_backward: dy", dy, rows_);
    require_rows("combine_backward: out", out, K * rows_);
    combine_rows_backward_weights<K>(*device_, dy, out, groups_.places(), d_gates_.matrix(rows_, K));
    gather_rows<K>(*device_, dy, groups_.members(), out, gates());
  }
  /// dx [N, C] of d_in [K N, C]; overwrites.
  void dispatch_backward(Matrix<const T> d_in, Matrix<T> dx) const {
    require_rows("dispatch_backward: d_in", d_in, K * rows_);
    require_rows("dispatch_backward: dx", dx, rows_);
    combine_rows<K>(*device_, d_in, groups_.places(), dx);
  }
  /// d_logits [N, E] += the gradient by the logits, through the gates.
  void route_backward_accumulate(Matrix<T> d_logits) {
    require_shape("route_backward: d_logits", d_logits, rows_, groups_.groups());
    const auto d_gates = d_gates_.matrix(rows_, K);
    softmax_backward(*device_, gates(), d_gates, d_gates);
    top_k_backward_accumulate<K>(*device_, d_gates, chosen(), d_logits);
  }

 private:
  Matrix<const T> gates() const { return {gates_.data(), rows_, K}; }
  static void require_rows(const char* what, Matrix<const T> m, std::size_t rows) {
    require_shape(what, m, rows, m.cols);
  }

  D* device_;
  std::size_t rows_ = 0;
  device::Array<D, T> gates_, d_gates_;    // [N, K]
  device::Array<D, std::int32_t> chosen_;  // [N, K]
  RowGroups<D> groups_;
};

}  // namespace demix::ops
