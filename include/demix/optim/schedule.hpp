#pragma once
// The learning rate of every update: linear warm-up, then polynomial decay to the end of training.

#include <cmath>
#include <cstdint>

namespace demix::optim {

struct PolynomialDecay {
  double peak = 5e-4;
  std::uint64_t warmup_updates = 0;
  std::uint64_t total_updates = 0;
  double power = 1;

  /// For update u in [1, total]: peak u / warmup up to warmup, then peak ((total - u + 1) / (total -
  /// warmup))^power, which is the peak at warmup + 1 and still positive at the last update; 0 beyond it.
  double learning_rate(std::uint64_t update) const {
    if (update > total_updates) return 0;
    if (update <= warmup_updates)
      return peak * static_cast<double>(update) / static_cast<double>(warmup_updates);
    const double left = static_cast<double>(total_updates - update + 1);
    return peak * std::pow(left / static_cast<double>(total_updates - warmup_updates), power);
  }
};

}  // namespace demix::optim
