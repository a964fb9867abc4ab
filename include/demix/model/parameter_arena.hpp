#pragma once
// The numbers of one role, such as weights or gradients, in a model's layout.

#include <span>
#include <vector>

#include "demix/core/matrix.hpp"
#include "demix/device/array.hpp"
#include "demix/model/parameter_layout.hpp"

namespace demix {

/// One allocation: the shared region, then the regions of the experts held here, at a constant stride.
template <device::Device D, class T>
class ParameterArena {
 public:
  using value_type = T;

  /// Allocates and zeroes.
  ParameterArena(D& device, const ParameterLayout& layout, const HeldExperts& held)
      : held_(layout.expert.size() > 0 ? held : HeldExperts(0)),
        shared_size_(layout.shared.size()),
        expert_size_(layout.expert.size()),
        first_expert_(padded(shared_size_)),
        stride_(padded(expert_size_)),
        numbers_(device, checked_sum("parameters", first_expert_,
                                     checked_product("parameters", held_.size(), stride_))) {
    regions_.push_back(RegionId::shared());
    regions_.insert(regions_.end(), held_.list().begin(), held_.list().end());
    fill_zero();
  }

  const HeldExperts& held() const { return held_; }
  /// The regions that are there: the shared one, then those of the held experts.
  const std::vector<RegionId>& regions() const { return regions_; }
  bool contains(RegionId region) const { return region.is_shared() || held_.contains(region.expert()); }

  /// A region's numbers. Throws Error for an expert that is not held here.
  std::span<T> region(RegionId region) { return {data_of(region), size_of(region)}; }
  std::span<const T> region(RegionId region) const { return {data_of(region), size_of(region)}; }

  Matrix<T> shared(ParameterRef p) { return {numbers_.data() + p.offset, p.rows, p.cols}; }
  Matrix<const T> shared(ParameterRef p) const { return {numbers_.data() + p.offset, p.rows, p.cols}; }
  /// Throws Error for an expert that is not held here.
  Matrix<T> expert(ExpertId e, ParameterRef p) { return {data_of(e) + p.offset, p.rows, p.cols}; }
  Matrix<const T> expert(ExpertId e, ParameterRef p) const { return {data_of(e) + p.offset, p.rows, p.cols}; }

  /// All regions, with the padding between them, which is zero.
  std::span<T> numbers() { return {numbers_.data(), numbers_.size()}; }
  std::span<const T> numbers() const { return {numbers_.data(), numbers_.size()}; }

  void fill_zero() { numbers_.fill_zero(); }

  /// Parameters, without padding.
  std::size_t size() const { return shared_size_ + held_.size() * expert_size_; }

 private:
  /// Regions begin on a cache line, at the same element whatever the type.
  static std::size_t padded(std::size_t n) {
    constexpr std::size_t line = 64 / sizeof(float);
    return checked_sum("parameters", n, line - 1) / line * line;
  }
  std::size_t size_of(RegionId region) const { return region.is_shared() ? shared_size_ : expert_size_; }
  T* data_of(RegionId region) const {
    return numbers_.data() + (region.is_shared() ? 0 : first_expert_ + held_.slot(region.expert()) * stride_);
  }

  HeldExperts held_;
  std::vector<RegionId> regions_;
  std::size_t shared_size_, expert_size_, first_expert_, stride_;
  device::Array<D, T> numbers_;
};

}  // namespace demix
