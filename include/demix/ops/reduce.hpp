#pragma once
// The sum of squares of a long vector, for gradient norms; the order of summation is fixed.

#include <span>

#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/device/array.hpp"

namespace demix::ops {

inline constexpr std::size_t reduce_chunk = 16384;

/// partial[chunk] = the sum of x[i]^2 over the chunk.
template <class T>
struct SumOfSquares {
  const T* x;
  std::size_t size;
  T* partial;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t chunk) const {
    const T* xc = x + chunk * reduce_chunk;
    const std::size_t rest = size - chunk * reduce_chunk;
    const T sum =
        team.sum(rest < reduce_chunk ? rest : reduce_chunk, [=](std::size_t i) { return xc[i] * xc[i]; });
    T* p = partial + chunk;
    team.once([=] { *p = sum; });
  }
};

/// The sum of x[i]^2, partial sums added in double on the host. Waits for the device.
template <device::Device D, class T>
double sum_of_squares(D& device, std::span<const T> x, device::Array<D, T>& scratch) {
  const std::size_t chunks = ceil_div(x.size(), reduce_chunk);
  if (chunks == 0) return 0;
  scratch.reserve(chunks);
  device.rows(chunks, SumOfSquares<T>{x.data(), x.size(), scratch.data()});
  double total = 0;
  for (const T partial : scratch.to_host(chunks)) total += static_cast<double>(partial);
  return total;
}

}  // namespace demix::ops
