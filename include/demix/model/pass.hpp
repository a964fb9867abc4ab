#pragma once
// One pass through a model, as its layers see it.

#include <cstdint>
#include <span>
#include <vector>

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

/// One segment per expert e, rows [firsts[e], firsts[e + 1]): what a router's grouping of rows is to layers
/// that compute by segments. Of no domain in particular: domain 0.
inline std::vector<RowSegment> segments_by_expert(std::span<const std::int32_t> firsts) {
  std::vector<RowSegment> segments;
  for (std::size_t e = 0; e + 1 < firsts.size(); ++e)
    segments.push_back({DomainId{0}, ExpertId(static_cast<std::int32_t>(e)),
                        static_cast<std::size_t>(firsts[e]), static_cast<std::size_t>(firsts[e + 1])});
  return segments;
}

/// What a layer is given besides its input x [N, C], N = B T.
template <device::Device D, Precision P>
struct ForwardPass {
  D& device;
  const WeightArena<D, P>& weights;
  Workspace<D, P>& workspace;
  std::size_t sequence_length;           // T
  std::span<const RowSegment> segments;  // cover the rows in order
  ops::Dropout dropout;                  // of the pass: inactive where nothing is trained
  bool training = false;                 // a backward pass follows
  /// Device memory: what a layer adds here in training is added to the sum of the batch's losses, in nats (so
  /// a term that is a mean over rows is multiplied by their number); its gradient is the layer's own
  /// business. Ranks share a batch by domains, so a term that is a function of one segment's rows is the same
  /// for any number of them. Null outside training, and where only the losses of tokens are asked for.
  double* added_loss = nullptr;

  /// The random numbers of a layer in training, a function of the seed, the pass and the row, whichever ranks
  /// share the work. `site` tells layers apart: a hash of the layer's name, for one.
  ops::RowRandom random(std::uint64_t site) const {
    const auto folded = static_cast<std::uint32_t>(site ^ site >> 24 ^ site >> 48);
    return {dropout.seed, dropout.step, RandomStream::layers, folded, dropout.row_numbers};
  }
};

/// The same for the way back.
template <device::Device D, Precision P>
struct BackwardPass : ForwardPass<D, P> {
  GradientArena<D, P>& gradients;  // of the parameters: accumulate here
};

}  // namespace demix
