#pragma once
// What the losses of micro-batches sum up to, on the device.

#include <algorithm>
#include <vector>

#include "demix/device/array.hpp"
#include "demix/model/batch.hpp"

namespace demix {

/// Sums of losses by domain, in device memory, and the counts of their target tokens, which the host knows.
template <device::Device D>
class LossTotals {
 public:
  LossTotals(D& device, std::size_t domains) : sums_(device, domains + 1), tokens_(domains) { clear(); }

  /// Starts again from zero. Does not wait for the device.
  void clear() {
    sums_.fill_zero();
    std::fill(tokens_.begin(), tokens_.end(), 0.0);
  }

  /// Counts the target tokens of a batch.
  void count(const Batch& batch) {
    for (const auto& segment : batch.segments)
      for (std::size_t r = segment.first * batch.sequence_length; r < segment.last * batch.sequence_length;
           ++r)
        tokens_[index(segment.domain)] += batch.target[r] != pad_token;
  }

  std::size_t domains() const { return tokens_.size(); }
  /// Device memory, [domains]: in nats.
  double* losses() const { return sums_.data(); }
  /// Device memory: the sum of what layers added to the loss (ForwardPass::added_loss).
  double* added() const { return sums_.data() + tokens_.size(); }
  const std::vector<double>& tokens() const { return tokens_; }

 private:
  device::Array<D, double> sums_;
  std::vector<double> tokens_;
};

}  // namespace demix
