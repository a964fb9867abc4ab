#pragma once
// The norm of a model's gradient and the factor that clips it (Pascanu et al. 2013).

#include <cmath>
#include <vector>

#include "demix/model/parameters.hpp"
#include "demix/ops/reduce.hpp"

namespace demix::optim {

/// The squared norm of each region: the shared one first, then one per expert. Each counts once, whatever the
/// number of ranks that hold it.
template <device::Device D, class T>
std::vector<double> region_square_norms(D& device, const ParameterArena<D, T>& gradients,
                                        device::Array<D, T>& scratch) {
  std::vector<double> squares;
  for (std::size_t r = 0; r < gradients.regions(); ++r)
    squares.push_back(ops::sum_of_squares(device, gradients.region(r), scratch));
  return squares;
}

/// min(1, max_norm / norm), as the gradient's factor; 1 when max_norm is 0 (no clipping).
inline double clip_factor(double norm, double max_norm) {
  return max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0;
}

}  // namespace demix::optim
