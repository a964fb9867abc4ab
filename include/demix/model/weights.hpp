#pragma once
// A model's weights: the numbers that are trained, and those that are computed with.

#include <optional>
#include <span>
#include <vector>

#include "demix/core/precision.hpp"
#include "demix/device/array.hpp"
#include "demix/model/parameter_arena.hpp"
#include "demix/ops/cast.hpp"

namespace demix {

/// What layers compute with.
template <device::Device D, Precision P>
using WeightArena = ParameterArena<D, compute_t<P>>;

/// Where gradients accumulate.
template <device::Device D, Precision P>
using GradientArena = ParameterArena<D, gradient_t<P>>;

/// The master weights, and a copy in the compute type where that is another one; `refresh` makes the copy
/// anew. Evaluation holds the copy alone. Any number of sessions may read one object at the same time while
/// nobody writes.
template <device::Device D, Precision P>
class Weights {
 public:
  using Master = ParameterArena<D, master_t<P>>;
  using Compute = WeightArena<D, P>;
  enum class Use { training, evaluation };

  /// Zero, to be loaded or initialized.
  Weights(D& device, const ParameterLayout& layout, const HeldExperts& held, Use use = Use::training)
      : device_(&device) {
    if (computes_with_master<P> || use == Use::training) master_.emplace(device, layout, held);
    if constexpr (!computes_with_master<P>) copy_.emplace(device, layout, held);
  }

  D& device() const { return *device_; }
  bool has_master() const { return master_.has_value(); }
  /// What the optimizer changes. Throws Error where only evaluation was asked for.
  Master& master() {
    require_master();
    return *master_;
  }
  const Master& master() const {
    require_master();
    return *master_;
  }
  const Compute& compute() const {
    if constexpr (computes_with_master<P>)
      return *master_;
    else
      return *copy_;
  }

  const std::vector<RegionId>& regions() const { return compute().regions(); }
  const HeldExperts& held() const { return compute().held(); }
  /// Parameters held here.
  std::size_t size() const { return compute().size(); }

  /// After the master weights have changed: computes with them from now on. Does not wait for the device.
  void refresh() {
    if constexpr (!computes_with_master<P>)
      ops::cast(*device_, std::as_const(*master_).numbers(), copy_->numbers());
  }

  /// Gives a region the values that fill(span of device memory) writes there.
  template <class Fill>
  void assign(RegionId region, Fill fill) {
    if constexpr (computes_with_master<P>) {
      fill(master_->region(region));
    } else {
      const auto copy = copy_->region(region);
      device::Array<D, master_t<P>> temporary(*device_);
      std::span<master_t<P>> values;
      if (master_) {
        values = master_->region(region);
      } else {
        temporary.reserve(copy.size());
        values = {temporary.data(), copy.size()};
      }
      fill(values);
      ops::cast(*device_, std::span<const master_t<P>>(values), copy);
    }
  }

 private:
  void require_master() const {
    require(has_master(),
            "these weights were made for evaluation: they have no master copy to train or save");
  }

  D* device_;
  std::optional<Master> master_;
  struct None {};
  std::conditional_t<computes_with_master<P>, None, std::optional<Compute>> copy_;
};

}  // namespace demix
