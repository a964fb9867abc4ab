#pragma once
// Numbers of one type as numbers of another.

#include <span>

#include "demix/core/error.hpp"
#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/device/concepts.hpp"

namespace demix::ops {

inline constexpr std::size_t cast_chunk = 16384;

/// to[i] = from[i] for one chunk.
template <class From, class To>
struct Cast {
  const From* from;
  To* to;
  std::size_t size;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t chunk) const {
    const std::size_t first = chunk * cast_chunk, rest = size - first;
    const From* f = from + first;
    To* t = to + first;
    team.for_each(rest < cast_chunk ? rest : cast_chunk,
                  [=](std::size_t i) { t[i] = static_cast<To>(f[i]); });
  }
};

/// to [n] = from [n], rounded to the nearest; overwrites. Throws Error when the sizes differ.
template <device::Device D, class From, class To>
void cast(D& device, std::span<const From> from, std::span<To> to) {
  require(from.size() == to.size(), "cast: ", from.size(), " numbers to ", to.size());
  device.rows(ceil_div(from.size(), cast_chunk), Cast<From, To>{from.data(), to.data(), from.size()});
}

}  // namespace demix::ops
