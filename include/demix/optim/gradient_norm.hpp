#pragma once
// The norm of a model's gradient and the factor that clips it (Pascanu et al. 2013).

#include <cmath>
#include <vector>

#include "demix/ops/reduce.hpp"
#include "demix/optim/parameter_span.hpp"

namespace demix::optim {

/// The squared norm of each span. Each counts once, whatever the number of ranks that hold it.
template <device::Device D, class T>
std::vector<double> square_norms(D& device, const ParameterArena<D, T>& gradients,
                                 const std::vector<ParameterSpan>& spans, device::Array<D, T>& scratch) {
  std::vector<double> squares;
  for (const auto& [region, first, count] : spans)
    squares.push_back(ops::sum_of_squares(device, gradients.region(region).subspan(first, count), scratch));
  return squares;
}

/// The same of each region: the shared one first, then one per expert.
template <device::Device D, class T>
std::vector<double> region_square_norms(D& device, const ParameterArena<D, T>& gradients,
                                        device::Array<D, T>& scratch) {
  return square_norms(device, gradients, whole_regions(gradients), scratch);
}

/// min(1, max_norm / norm), as the gradient's factor; 1 when max_norm is 0 (no clipping).
inline double clip_factor(double norm, double max_norm) {
  return max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
}

}  // namespace demix::optim
