#pragma once
// What the losses of an update's micro-batches sum up to.

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "demix/comm/communicator.hpp"
#include "demix/model/batch.hpp"

namespace demix::train {

/// Whether the perplexity of this mean loss in nats is a number: e to more than 709 overflows.
inline bool has_perplexity(double loss) { return std::isfinite(std::exp(loss)); }

/// Losses and target tokens of one update, by domain.
class Totals {
 public:
  explicit Totals(const std::vector<std::string>& domains) : domains_(domains), sums_(2 * domains.size()) {}

  /// `losses` [B T] of the batch.
  template <class T>
  void add(const Batch& batch, const std::vector<T>& losses) {
    for (const auto& segment : batch.segments) {
      const auto d = static_cast<std::size_t>(index(segment.domain));
      for (std::size_t r = segment.first * batch.sequence_length; r < segment.last * batch.sequence_length;
           ++r) {
        sums_[d] += static_cast<double>(losses[r]);
        sums_[domains_.size() + d] += batch.target[r] != pad_token;
      }
    }
  }

  /// Adds those of the other ranks. Collective.
  template <comm::Communicator Comm>
  void all_reduce(Comm& comm) {
    comm.all_reduce_sum(sums_);
    for (std::size_t d = 0; d < domains_.size(); ++d) {
      loss_ += sums_[d];
      tokens_ += sums_[domains_.size() + d];
    }
  }

  // After all_reduce:
  double loss() const { return loss_; }  // in nats, of all tokens
  double tokens() const { return tokens_; }

  /// Calls fail(what, where) for a domain whose loss, or the perplexity of it, is not finite.
  template <class Fail>
  void require_finite(Fail fail) const {
    for (std::size_t d = 0; d < domains_.size(); ++d) {
      const std::string where = "on domain '" + domains_[d] + "'";
      if (!std::isfinite(sums_[d])) fail("the loss", where);
      if (const double tokens = sums_[domains_.size() + d]; tokens > 0 && !has_perplexity(sums_[d] / tokens))
        fail(concat("the perplexity of a mean loss of ", sums_[d] / tokens, " nats"), where);
    }
  }

  /// The mean loss of each domain that the update saw.
  nlohmann::ordered_json losses_by_domain() const {
    nlohmann::ordered_json result;
    for (std::size_t d = 0; d < domains_.size(); ++d)
      if (const double tokens = sums_[domains_.size() + d]; tokens > 0)
        result[domains_[d]] = sums_[d] / tokens;
    return result;
  }

 private:
  const std::vector<std::string>& domains_;
  std::vector<double> sums_;  // the sum of losses of each domain, then the count of its tokens
  double loss_ = 0, tokens_ = 0;
};

}  // namespace demix::train
