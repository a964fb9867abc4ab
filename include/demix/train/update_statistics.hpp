#pragma once
// What an update is judged by: one block of numbers on the device, summed over ranks there and read once.

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "demix/device/array.hpp"
#include "demix/device/staging.hpp"
#include "demix/model/loss_totals.hpp"

namespace demix::train {

/// Whether the perplexity of this mean loss in nats is a number: e to more than 709 overflows.
inline bool has_perplexity(double loss) { return std::isfinite(std::exp(loss)); }

/// The block on the host.
struct UpdateReport {
  std::vector<double> losses;  // [domains], sums in nats
  double added_loss;           // what layers added, likewise
  std::vector<double> tokens;  // [domains]
  std::vector<double>
      squares;            // [1 + experts], of the norms of the summed gradient: shared, then each expert
  double interrupted;     // ranks that could not make their part of it
  double gradient_scale;  // not a number: the update was left out

  double all_tokens() const { return sum(tokens); }
  /// The mean loss over all tokens, in nats.
  double mean_loss() const { return sum(losses) / all_tokens(); }
  /// The norm of the mean loss's gradient.
  double gradient_norm() const { return std::sqrt(sum(squares)) / all_tokens(); }
  /// The mean loss of each domain that the update saw.
  nlohmann::ordered_json losses_by_domain(const std::vector<std::string>& names) const {
    nlohmann::ordered_json result;
    for (std::size_t d = 0; d < losses.size(); ++d)
      if (tokens[d] > 0) result[names[d]] = losses[d] / tokens[d];
    return result;
  }

 private:
  static double sum(const std::vector<double>& numbers) {
    double total = 0;
    for (const double number : numbers) total += number;
    return total;
  }
};

/// The block on the device.
template <device::Device D>
class UpdateStatistics {
 public:
  UpdateStatistics(D& device, std::size_t domains, std::size_t experts)
      : device_(device),
        domains_(domains),
        regions_(1 + experts),
        block_(device, 2 * domains + regions_ + 3),
        staging_(device),
        downloaded_(device),
        host_(device.template allocate_host<double>(block_.size())) {}
  UpdateStatistics(const UpdateStatistics&) = delete;
  UpdateStatistics& operator=(const UpdateStatistics&) = delete;
  ~UpdateStatistics() { device_.deallocate_host(host_, block_.size()); }

  /// Takes over the totals of this rank's micro-batches. Squares are zero; where the rank was `interrupted`
  /// they are no numbers, so that no rank takes the update for sound. Does not wait for the device.
  void assign(const LossTotals<D>& totals, bool interrupted) {
    device_.copy(block_.data(), totals.losses(), domains_ + 1);
    const std::size_t n = domains_ + regions_ + 1;
    staging_.upload(tokens(), n, n, [&](std::span<double> to) {
      std::copy(totals.tokens().begin(), totals.tokens().end(), to.begin());
      std::fill_n(to.begin() + static_cast<std::ptrdiff_t>(domains_), regions_,
                  interrupted ? std::numeric_limits<double>::quiet_NaN() : 0.0);
      to.back() = interrupted ? 1 : 0;
    });
  }

  // Device memory:
  double* tokens() { return block_.data() + domains_ + 1; }
  std::size_t token_counts() const { return domains_; }
  double* squares() { return block_.data() + 2 * domains_ + 1; }
  std::size_t square_count() const { return regions_; }
  double* gradient_scale() { return block_.data() + block_.size() - 1; }
  /// What is summed over ranks before the gradient's norm is known: losses and tokens.
  std::span<double> sums() { return {block_.data(), 2 * domains_ + 1}; }
  /// What is afterwards: the norms, and whether all ranks made their part.
  std::span<double> norms() { return {squares(), regions_ + 1}; }

  /// The numbers on the host. Waits for the device: the one wait of an update.
  UpdateReport read() {
    device_.download(host_, block_.data(), block_.size());
    device_.record(downloaded_);
    device_.wait(downloaded_);
    const double* at = host_;
    const auto take = [&at](std::size_t n) {
      std::vector<double> numbers(at, at + n);
      at += n;
      return numbers;
    };
    UpdateReport report;
    report.losses = take(domains_);
    report.added_loss = *at++;
    report.tokens = take(domains_);
    report.squares = take(regions_);
    report.interrupted = *at++;
    report.gradient_scale = *at;
    return report;
  }

 private:
  D& device_;
  std::size_t domains_, regions_;
  device::Array<D, double> block_;  // losses, added loss, tokens, squares, interrupted, gradient scale
  device::Staging<D, double> staging_;
  typename D::Event downloaded_;
  double* host_;
};

}  // namespace demix::train
