#pragma once
// Sums over stretches of a vector, in double: a batch's losses by domain.

#include <cstddef>
#include <cstdint>

#include "demix/core/host_device.hpp"
#include "demix/device/concepts.hpp"

namespace demix::ops {

/// Segment s is the three numbers {sum, first, last}: elements [first, last) of x belong to that sum.
/// Segments are added one after the other, so that two of one sum do not meet.
template <class T>
struct SegmentSum {
  const T* x;
  const std::int32_t* segments;
  std::size_t count;
  double* sums;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t) const {
    for (std::size_t s = 0; s < count; ++s) {
      const std::int32_t sum_number = segments[3 * s], first = segments[3 * s + 1],
                         last = segments[3 * s + 2];
      const T* xs = x + first;
      const double sum = team.sum(static_cast<std::size_t>(last - first),
                                  [=](std::size_t i) { return static_cast<double>(xs[i]); });
      double* out = sums + sum_number;
      team.once([=] { *out += sum; });
    }
  }
};

/// sums[k] += the sum of x over the segments of k, for `count` segments {k, first, last}; all of it device
/// memory. The order of additions depends on the device and the segments alone.
template <device::Device D, class T>
void segment_sum_accumulate(D& device, const T* x, const std::int32_t* segments, std::size_t count,
                            double* sums) {
  if (count > 0) device.rows(1, SegmentSum<T>{x, segments, count, sums});
}

}  // namespace demix::ops
