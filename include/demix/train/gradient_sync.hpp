#pragma once
// The sums over ranks that an update needs.

#include <span>
#include <utility>

#include "demix/comm/communicator.hpp"
#include "demix/comm/placement.hpp"
#include "demix/model/parameter_arena.hpp"

namespace demix::train {

/// The shared region's gradients are summed over all ranks, an expert's over those that hold it.
template <comm::Communicator Comm>
class GradientSync {
 public:
  /// Collective.
  GradientSync(Comm world, comm::Placement placement)
      : world_(std::move(world)), placement_(std::move(placement)), group_(world_.split(placement_.group)) {
    require(placement_.rank == world_.rank() && placement_.ranks == world_.size(), "placement of rank ",
            placement_.rank, " of ", placement_.ranks, " on rank ", world_.rank(), " of ", world_.size());
  }

  const comm::Placement& placement() const { return placement_; }
  Comm& world() { return world_; }

  /// Collective. The gradients are ready for what is submitted to the device afterwards.
  template <device::Device D, class T>
  void all_reduce(ParameterArena<D, T>& gradients) {
    for (const RegionId region : gradients.regions())
      (region.is_shared() ? world_ : group_).all_reduce(gradients.region(region));
    world_.wait();
    group_.wait();
  }

  /// Collective: device memory, summed over all ranks.
  void all_reduce(std::span<double> numbers) {
    world_.all_reduce(numbers);
    world_.wait();
  }

 private:
  Comm world_;
  comm::Placement placement_;
  Comm group_;
};

}  // namespace demix::train
