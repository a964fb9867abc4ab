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

/// *sum += the sum of the partial sums, in double.
template <class T>
struct SumOfPartials {
  const T* partial;
  std::size_t chunks;
  double* sum;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t) const {
    const T* p = partial;
    const double total = team.sum(chunks, [=](std::size_t i) { return static_cast<double>(p[i]); });
    double* out = sum;
    team.once([=] { *out += total; });
  }
};

/// *sum (device memory) += the sum of x[i]^2, partial sums added in double. `scratch` grows to ceil(n /
/// 16384) elements. Does not wait for the device.
template <device::Device D, class T>
void accumulate_sum_of_squares(D& device, std::span<const T> x, device::Array<D, T>& scratch, double* sum) {
  const std::size_t chunks = ceil_div(x.size(), reduce_chunk);
  scratch.reserve(chunks);
  device.rows(chunks, SumOfSquares<T>{x.data(), x.size(), scratch.data()});
  device.rows(1, SumOfPartials<T>{scratch.data(), chunks, sum});
}

}  // namespace demix::ops
