#pragma once
// The CPU's team: one thread whose loops vectorise.

#include <cmath>
#include <cstddef>
#include <limits>

#include "demix/core/host_device.hpp"

namespace demix::device {

/// What a row kernel gets besides its row. Kernels call the members in the same order on every thread of a
/// team; the functions passed in capture values, not `this`, so that the compiler sees through them. Marked
/// for both devices because the kernels that call it are; it runs on the CPU only.
struct CpuTeam {
  /// f(i) for every i in [0, n). The calls must be independent.
  template <class F>
  DEMIX_HOST_DEVICE void for_each(std::size_t n, F f) {
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) f(i);
  }

  /// The sum of f(i) over [0, n), on every thread of the team.
  template <class F>
  DEMIX_HOST_DEVICE auto sum(std::size_t n, F f) {
    using T = decltype(f(n));
    T total = 0;
#pragma omp simd reduction(+ : total)
    for (std::size_t i = 0; i < n; ++i) total += f(i);
    return total;
  }

  /// The maximum of f(i) over [0, n), minus infinity for n = 0, on every thread of the team.
  /// What is NaN may be passed over.
  template <class F>
  DEMIX_HOST_DEVICE auto max(std::size_t n, F f) {
    using T = decltype(f(n));
    T best = -T(INFINITY);
#pragma omp simd reduction(max : best)
    for (std::size_t i = 0; i < n; ++i) {
      const T value = f(i);
      best = best > value ? best : value;
    }
    // OpenMP may begin with the lowest finite number.
    constexpr T lowest = std::numeric_limits<T>::lowest();
    if (best == lowest) {
      best = -T(INFINITY);
      for (std::size_t i = 0; i < n; ++i)
        if (f(i) == lowest) best = lowest;
    }
    return best;
  }

  /// f() on one thread of the team.
  template <class F>
  DEMIX_HOST_DEVICE void once(F f) {
    f();
  }

  /// What the team's threads wrote before is visible to all of them afterwards.
  DEMIX_HOST_DEVICE void sync() {}
};

}  // namespace demix::device
