#pragma once
// The sums over ranks that an update needs.

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "demix/comm/communicator.hpp"
#include "demix/comm/placement.hpp"
#include "demix/model/parameter_arena.hpp"

namespace demix::train {

/// The shared region's gradients are summed over all ranks, an expert's over those that hold it: in pieces,
/// the last block's first, so that sums go on while a backward pass computes what stands before. All ranks
/// submit the same pieces in the same order, whenever each hears that gradients are complete.
template <comm::Communicator Comm>
class GradientSync {
 public:
  /// Of gradients in this layout, in pieces of at most so many elements. Collective.
  GradientSync(Comm world, comm::Placement placement, const ParameterLayout& layout,
               std::size_t piece = std::size_t{4} << 20)
      : world_(std::move(world)), placement_(std::move(placement)), group_(world_.split(placement_.group)) {
    require(placement_.rank == world_.rank() && placement_.ranks == world_.size(), "placement of rank ",
            placement_.rank, " of ", placement_.ranks, " on rank ", world_.rank(), " of ", world_.size());
    std::size_t shared_end = layout.shared.size(), expert_end = layout.expert.size();
    const auto add_until = [&](std::size_t shared, std::size_t expert, bool all) {
      if (world_.size() > 1) add(true, shared, shared_end, piece, all);
      if (group_.size() > 1) add(false, expert, expert_end, piece, all);
    };
    for (std::size_t l = layout.block_starts.size(); l-- > 0;)
      add_until(layout.block_starts[l].shared, layout.block_starts[l].expert, false);
    add_until(0, 0, true);
  }

  const comm::Placement& placement() const { return placement_; }
  Comm& world() { return world_; }

  /// Nothing is summed yet.
  void begin() { next_ = 0; }

  /// Begins to sum those pieces of the shared region that stand from element `shared` on, and of the held
  /// experts from `expert` on, which must be complete and stay as they are until `finish`.
  template <device::Device D, class T>
  void sum_from(ParameterArena<D, T>& gradients, std::size_t shared, std::size_t expert) {
    for (; next_ < pieces_.size(); ++next_) {
      const Piece& piece = pieces_[next_];
      if (piece.begin < (piece.is_shared ? shared : expert)) break;
      for (const RegionId region : gradients.regions())
        if (region.is_shared() == piece.is_shared)
          (piece.is_shared ? world_ : group_)
              .all_reduce(gradients.region(region).subspan(piece.begin, piece.end - piece.begin));
    }
    world_.progress();
    group_.progress();
  }

  /// Sums what is left. Collective. The gradients are ready for what is submitted to the device afterwards.
  template <device::Device D, class T>
  void finish(ParameterArena<D, T>& gradients) {
    sum_from(gradients, 0, 0);
    world_.wait();
    group_.wait();
  }

  /// Collective: device memory, summed over all ranks.
  void all_reduce(std::span<double> numbers) {
    world_.all_reduce(numbers);
    world_.wait();
  }

 private:
  struct Piece {
    bool is_shared;
    std::size_t begin, end;
  };

  /// Whole pieces of [first, end), from the end; the rest of it too where `all` is wanted.
  void add(bool is_shared, std::size_t first, std::size_t& end, std::size_t piece, bool all) {
    while (end >= first + piece || (all && end > first)) {
      const std::size_t begin = end - std::min(piece, end - first);
      pieces_.push_back({is_shared, begin, end});
      end = begin;
    }
  }

  Comm world_;
  comm::Placement placement_;
  Comm group_;
  std::vector<Piece> pieces_;
  std::size_t next_ = 0;
};

}  // namespace demix::train
