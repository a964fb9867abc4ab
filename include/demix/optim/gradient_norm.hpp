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

/// min(1, max_norm / norm) / tokens, where norm = sqrt(square) / tokens is that of the mean loss's gradient;
/// max_norm 0: 1 / tokens. NaN when there are no tokens or the norm is not finite.
DEMIX_HOST_DEVICE inline double clip_factor(double tokens, double square, double max_norm) {
  const double norm = std::sqrt(square) / tokens;
  const double clip = max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
  return tokens > 0 && norm < double(INFINITY) ? clip / tokens : double(NAN);
}

/// scale = clip_factor of the sum of tokens and the sum of squares.
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
      *self.scale = clip_factor(count, square, self.max_norm);
    });
  }
};

/// scales[1 + e] = clip_factor of the tokens and the square of expert e alone; 0 where it has no tokens.
/// scales[0], of the shared region, is *whole, and where that is not finite all are.
struct ExpertClipScales {
  const double* tokens;
  const double* squares;
  double max_norm;
  const double* whole;
  double* scales;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t region) const {
    const ExpertClipScales self = *this;
    team.once([=] {
      double scale = *self.whole;
      if (region > 0 && scale < double(INFINITY)) {
        const double count = self.tokens[region - 1];
        scale = count > 0 ? clip_factor(count, self.squares[region], self.max_norm) : 0.0;
      }
      self.scales[region] = scale;
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

/// The factor of each region's summed gradient where every expert is clipped by itself, all in device memory:
/// of tokens [experts] and squares [1 + experts], with `whole` that of clip_scale, into scales [1 + experts];
/// see ExpertClipScales. Does not wait for the device.
template <device::Device D>
void expert_clip_scales(D& device, const double* tokens, const double* squares, std::size_t experts,
                        double max_norm, const double* whole, double* scales) {
  device.rows(1 + experts, ExpertClipScales{tokens, squares, max_norm, whole, scales});
}

}  // namespace demix::optim
