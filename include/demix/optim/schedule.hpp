#pragma once
// The learning rate of every update: linear warm-up, then polynomial decay.

#include <cmath>
#include <cstdint>

namespace demix::optim {

/// fairseq's polynomial decay: an update has the learning rate of the number of updates done before it.
struct PolynomialDecay {
  double peak = 5e-4;
  std::uint64_t warmup_updates = 0;  // below total_updates
  std::uint64_t total_updates = 0;
  double end = 0;
  double power = 1;
  std::uint64_t warmup_ahead = 0;  // updates by which warm-up is ahead: 1 in runs that an older demix began

  /// Of update u, counted from 1, before which u - 1 are done: peak (u - 1) / warmup, so 0 at update 1, up to
  /// the peak at update warmup + 1; then (peak - end) ((total - (u - 1)) / (total - warmup))^power + end, and
  /// `end` where total or more are done.
  double learning_rate(std::uint64_t update) const {
    const std::uint64_t done = update - 1;
    if (done < warmup_updates)
      return peak * static_cast<double>(done + warmup_ahead) / static_cast<double>(warmup_updates);
    if (done >= total_updates) return end;
    const double left = static_cast<double>(total_updates - done);
    return (peak - end) * std::pow(left / static_cast<double>(total_updates - warmup_updates), power) + end;
  }
};

}  // namespace demix::optim
