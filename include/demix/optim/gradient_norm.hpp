#pragma once
// The norm of a model's gradient and the factor that clips it (Pascanu et al. 2013), on the device.

#include <cmath>
#include <vector>

#include "demix/core/host_device.hpp"
#include "demix/ops/reduce.hpp"
#include "demix/optim/parameter_span.hpp"

namespace demix::optim {

/// squares[0] += the squared norm of what the spans have of the shared region, squares[1 + e] += of expert
/// e's; squares is device memory of 1 + experts numbers. Does not wait for the device.
template <device::Device D, class T>
void accumulate_square_norms(D& device, const ParameterArena<D, T>& gradients,
                             const std::vector<ParameterSpan>& spans, device::Array<D, T>& scratch,
                             double* squares) {
  for (const auto& [region, first, count] : spans)
    ops::accumulate_sum_of_squares(device, gradients.region(region).subspan(first, count), scratch,
                                   squares + (region.is_shared() ? 0 : 1 + index(region.expert())));
}

/// scale = min(1, max_norm / norm) / tokens, where norm = sqrt(sum of squares) / tokens is that of the mean
/// loss's gradient; max_norm 0: 1 / tokens. NaN when there are no tokens or the norm is not finite.
struct ClipScale {
  const double* tokens;
  const double* squares;
  std::size_t token_counts, square_count;
  double max_norm;
  double* scale;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t) const {
    const ClipScale self = *this;
    team.once([=] {
      double count = 0, square = 0;
      for (std::size_t i = 0; i < self.token_counts; ++i) count += self.tokens[i];
      for (std::size_t i = 0; i < self.square_count; ++i) square += self.squares[i];
      const double norm = std::sqrt(square) / count;
      const double clip = self.max_norm > 0 && norm > self.max_norm ? self.max_norm / norm : 1.0;
      *self.scale = count > 0 && norm < double(INFINITY) ? clip / count : double(NAN);
    });
  }
};

/// *scale (device memory) = the factor of the summed gradient of an update; see ClipScale. Does not wait for
/// the device.
template <device::Device D>
void clip_scale(D& device, const double* tokens, std::size_t token_counts, const double* squares,
                std::size_t square_count, double max_norm, double* scale) {
  device.rows(1, ClipScale{tokens, squares, token_counts, square_count, max_norm, scale});
}

}  // namespace demix::optim
