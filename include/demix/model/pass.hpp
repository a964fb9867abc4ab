#pragma once
// One pass through a model, as its layers see it.

#include <cstdint>
#include <span>

#include "demix/core/precision.hpp"
#include "demix/core/types.hpp"
#include "demix/model/weights.hpp"
#include "demix/model/workspace.hpp"
#include "demix/ops/dropout.hpp"

namespace demix {

/// Rows [first, last) of a batch: text of `domain`, which `expert` serves.
struct RowSegment {
  DomainId domain;
  ExpertId expert;
  std::size_t first, last;
};

/// What a layer is given besides its input x [N, C], N = B T.
template <device::Device D, Precision P>
struct ForwardPass {
  D& device;
  const WeightArena<D, P>& weights;
  Workspace<D, P>& workspace;
  std::size_t sequence_length;           // T
  std::span<const RowSegment> segments;  // cover the rows in order
  /// Of the pass: inactive where nothing is trained. A layer with randomness of its own draws it from
  /// `dropout.seed`, `dropout.step` and the row as Dropout numbers it (`dropout.row_numbers`), so that it is
  /// the same whichever ranks share the work.
  ops::Dropout dropout;
  bool training = false;  // a backward pass follows
  /// Device memory: what a layer adds here in training is added to the sum of the batch's losses, in nats (so
  /// a term that is a mean over rows is multiplied by their number); its gradient is the layer's own
  /// business. Null outside training.
  double* added_loss = nullptr;
};

/// The same for the way back.
template <device::Device D, Precision P>
struct BackwardPass : ForwardPass<D, P> {
  GradientArena<D, P>& gradients;  // of the parameters: accumulate here
};

}  // namespace demix
