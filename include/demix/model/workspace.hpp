#pragma once
// Buffers that all layers take turns to use; nothing in them outlives a call.

#include "demix/core/precision.hpp"
#include "demix/device/array.hpp"

namespace demix {

template <device::Device D, Precision P>
struct Workspace {
  using T = compute_t<P>;

  explicit Workspace(D& device)
      : branch(device), branch_gradient(device), qkv_gradient(device), attention(device), columns(device) {}

  device::Array<D, T> branch;               // [N, C], what a block adds to the residual stream
  device::Array<D, T> branch_gradient;      // [N, C]
  device::Array<D, T> qkv_gradient;         // [N, 3 C]
  device::Array<D, T> attention;            // what ops::Attention<D> asks for
  device::Array<D, gradient_t<P>> columns;  // partial sums of ops/column_sum.hpp
};

}  // namespace demix
