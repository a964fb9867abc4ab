#pragma once
// Mixing experts by Bayes' rule (Gururangan et al. 2022, section 4): the arithmetic, on the host in double.
//
//   p(x_t | x_<t) = sum_j p(D = j | x_<t) p(x_t | x_<t, D = j),   p(D = j | x_<t) ~ p(x_<t | D = j) p(D = j)

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/names.hpp"

namespace demix::eval {

/// What the posterior of position t looks at: the whole prefix x_<t, which is the paper's formula; x_(t-1)
/// alone, which is what the released code computes; or nothing, so that it stays the prior.
enum class PosteriorOver { nothing, previous_token, prefix };

/// What demix-mix, demix-generate and the choice of an adaptation's start look at where nothing else is said:
/// docs/mixing.md has the measurements.
inline constexpr PosteriorOver default_posterior = PosteriorOver::prefix;

/// Throws UsageError unless `name` is prefix or previous_token.
inline PosteriorOver posterior_over(const std::string& option, const std::string& name) {
  return require_one_of(option, name, {"prefix", "previous_token"}) == "prefix"
             ? PosteriorOver::prefix
             : PosteriorOver::previous_token;
}

inline const char* name_of(PosteriorOver over) {
  if (over == PosteriorOver::nothing) return "none";
  return over == PosteriorOver::prefix ? "prefix" : "previous_token";
}

/// log sum_j exp(x_j); minus infinity when all are.
inline double log_sum_exp(std::span<const double> x) {
  const double highest = *std::max_element(x.begin(), x.end());
  if (!std::isfinite(highest)) return highest;
  double sum = 0;
  for (const double each : x) sum += std::exp(each - highest);
  return highest + std::log(sum);
}

/// e^x for a log probability: 0 for minus infinity alone. What a double would round to 0, or denormal, is the
/// smallest normal double, 2.2e-308, so that a posterior which is printed and read back as a prior leaves no
/// expert out.
inline double probability(double log_p) {
  return std::isinf(log_p) && log_p < 0 ? 0.0 : std::max(std::exp(log_p), std::numeric_limits<double>::min());
}

/// The same for each of [E].
inline std::vector<double> probabilities(std::span<const double> log_p) {
  std::vector<double> result;
  for (const double each : log_p) result.push_back(probability(each));
  return result;
}

inline std::vector<double> logs(std::span<const double> p) {
  std::vector<double> result;
  for (const double each : p) result.push_back(std::log(each));
  return result;
}

/// A prior divided by its sum; only what is 0 becomes 0. Throws Error unless it has `experts` numbers, none
/// negative, not all zero.
inline std::vector<double> normalized_prior(std::vector<double> prior, std::size_t experts) {
  require(prior.size() == experts, "a prior of ", prior.size(), " numbers for ", experts, " experts");
  double sum = 0;
  for (const double p : prior) {
    require(std::isfinite(p) && p >= 0, "a prior of ", p, ": expected probabilities");
    sum += p;
  }
  require(sum > 0, "a prior that is 0 for every expert");
  require(std::isfinite(sum), "a prior whose sum overflows: expected probabilities");
  for (double& p : prior)
    if (p > 0) p = std::max(p / sum, std::numeric_limits<double>::denorm_min());
  return prior;
}

inline std::vector<double> uniform_prior(std::size_t experts) {
  return std::vector<double>(experts, 1.0 / static_cast<double>(experts));
}

/// The posterior of one sequence, token by token.
class SequencePosterior {
 public:
  /// `prior` [E] holds probabilities. An expert whose prior is 0 never takes part.
  SequencePosterior(PosteriorOver over, std::span<const double> prior)
      : over_(over), log_prior_(logs(prior)) {
    log_weights_ = log_prior_;
  }

  /// The same from logarithms, whose probabilities may be too small for a double.
  static SequencePosterior from_log_prior(PosteriorOver over, std::span<const double> log_prior) {
    SequencePosterior sequence(over, {});
    sequence.log_prior_.assign(log_prior.begin(), log_prior.end());
    sequence.log_weights_ = sequence.log_prior_;
    return sequence;
  }

  /// log p(D = j | the tokens observed), [E]; at least one expert must take part.
  std::vector<double> log_posterior() const {
    const double total = log_sum_exp(log_weights_);
    std::vector<double> result;
    for (const double weight : log_weights_) result.push_back(weight - total);
    return result;
  }

  /// p(D = j | the tokens observed), [E], as probabilities() has it.
  std::vector<double> posterior() const { return probabilities(log_posterior()); }

  /// Takes the next token, of which expert j says -log p_j = losses[j]; infinity where it was not asked.
  /// Returns the mixture's -log p of that token, under the posterior of before it.
  double observe(std::span<const double> losses) {
    std::vector<double> joint(log_weights_);
    for (std::size_t j = 0; j < joint.size(); ++j)
      if (std::isfinite(joint[j])) joint[j] -= losses[j];
    const double loss = log_sum_exp(log_weights_) - log_sum_exp(joint);
    if (over_ == PosteriorOver::prefix) log_weights_ = joint;
    if (over_ == PosteriorOver::previous_token)
      for (std::size_t j = 0; j < joint.size(); ++j) log_weights_[j] = log_prior_[j] - losses[j];
    return loss;
  }

  /// From now on only these experts take part.
  void keep(std::span<const std::size_t> experts) {
    for (std::size_t j = 0; j < log_prior_.size(); ++j)
      if (std::find(experts.begin(), experts.end(), j) == experts.end())
        log_prior_[j] = log_weights_[j] = -std::numeric_limits<double>::infinity();
  }

 private:
  PosteriorOver over_;
  std::vector<double> log_prior_, log_weights_;  // [E]
};

/// The k experts with the highest probabilities, or logarithms of them, in rising order; the first of equals.
inline std::vector<std::size_t> most_probable(std::span<const double> p, std::size_t k) {
  std::vector<std::size_t> experts(p.size());
  for (std::size_t j = 0; j < experts.size(); ++j) experts[j] = j;
  k = std::min(k, experts.size());
  std::partial_sort(experts.begin(), experts.begin() + static_cast<std::ptrdiff_t>(k), experts.end(),
                    [&](std::size_t a, std::size_t b) { return p[a] != p[b] ? p[a] > p[b] : a < b; });
  experts.resize(k);
  std::sort(experts.begin(), experts.end());
  return experts;
}

/// What E experts say about a batch: -log p of every target.
struct ExpertLosses {
  std::size_t experts = 0, sequence_length = 0;
  std::vector<std::size_t> lengths;  // [B]: targets of each sequence; what follows is padding
  std::vector<double> values;        // [E, B, T]; infinity where an expert was not asked
  /// Where a sequence is scored by some experts only: from this position on, and by which, [B].
  std::size_t kept_from = 0;
  std::vector<std::vector<std::size_t>> kept = {};

  std::size_t sequences() const { return lengths.size(); }
  double& at(std::size_t expert, std::size_t sequence, std::size_t position) {
    return values[(expert * sequences() + sequence) * sequence_length + position];
  }
  double at(std::size_t expert, std::size_t sequence, std::size_t position) const {
    return values[(expert * sequences() + sequence) * sequence_length + position];
  }
};

/// Where the prior of a batch comes from. simple_average has no posterior: the distributions are averaged.
enum class Ensemble { simple_average, uniform_prior, updating_prior, cached_prior };

inline const std::vector<std::string>& ensemble_names() {
  static const std::vector<std::string> names{"simple_average", "uniform_prior", "updating_prior",
                                              "cached_prior"};
  return names;
}
inline const std::string& name_of(Ensemble ensemble) {
  return ensemble_names()[static_cast<std::size_t>(ensemble)];
}

/// Mixes one batch after the other and keeps the averages, as logarithms: an expert may be improbable beyond
/// what a double holds in one text and the right one in the next.
class Mixture {
 public:
  static constexpr double new_weight = 0.3;  // of a batch in the moving average

  /// `prior` [E] is that of every batch, or with updating_prior of the first one.
  Mixture(Ensemble ensemble, PosteriorOver over, std::vector<double> prior)
      : ensemble_(ensemble),
        over_(ensemble == Ensemble::simple_average ? PosteriorOver::nothing : over),
        log_prior_(logs(prior)) {}

  /// Mixes a batch. Throws Error when its losses are not finite.
  void add(const ExpertLosses& losses) {
    std::vector<std::vector<double>> last(losses.experts);  // [E][sequences]: the log posterior at the end
    for (std::size_t b = 0; b < losses.sequences(); ++b) {
      auto sequence = SequencePosterior::from_log_prior(over_, log_prior_);
      for (std::size_t t = 0; t < losses.lengths[b]; ++t) {
        if (!losses.kept.empty() && t == losses.kept_from) sequence.keep(losses.kept[b]);
        const auto log_posterior = sequence.log_posterior();
        accumulate(probabilities(log_posterior), t);
        if (t + 1 == losses.lengths[b])
          for (std::size_t j = 0; j < last.size(); ++j) last[j].push_back(log_posterior[j]);
        loss_sum_ += sequence.observe(token_losses(losses, b, t));
      }
      tokens_ += losses.lengths[b];
    }
    require(std::isfinite(loss_sum_), "the mixture of the experts: the loss is not finite");
    require(!last.empty() && !last.front().empty(), "the mixture of the experts: a batch without targets");
    std::vector<double> mean;  // [E], of the batch
    for (const auto& of_expert : last)
      mean.push_back(log_sum_exp(of_expert) - std::log(static_cast<double>(of_expert.size())));
    batch_posteriors_.push_back(probabilities(mean));
    if (log_average_.empty())
      log_average_ = std::move(mean);
    else
      for (std::size_t j = 0; j < mean.size(); ++j) log_average_[j] = moved(log_average_[j], mean[j]);
    if (ensemble_ == Ensemble::updating_prior) log_prior_ = log_average_;
  }

  /// log p(D = j | the first `count` tokens of sequence b), [E].
  std::vector<double> log_posterior_after(const ExpertLosses& losses, std::size_t b,
                                          std::size_t count) const {
    auto sequence = SequencePosterior::from_log_prior(over_, log_prior_);
    for (std::size_t t = 0; t < std::min(count, losses.lengths[b]); ++t)
      sequence.observe(token_losses(losses, b, t));
    return sequence.log_posterior();
  }

  Ensemble ensemble() const { return ensemble_; }
  PosteriorOver over() const { return over_; }
  /// Of the next batch, [E], as probabilities() has it: 0 for the experts that take no part, and no others.
  std::vector<double> prior() const { return probabilities(log_prior_); }
  double loss() const { return loss_sum_ / static_cast<double>(tokens_); }
  double perplexity() const { return std::exp(loss()); }
  std::size_t tokens() const { return tokens_; }
  /// Of every batch: the mean over its sequences of the posterior at the last position, [batches][E].
  const std::vector<std::vector<double>>& batch_posteriors() const { return batch_posteriors_; }
  /// Their exponential moving average, which starts at the first one, [E].
  std::vector<double> average_posterior() const { return probabilities(log_average_); }
  /// The mean over all sequences of the posterior at every position, [T][E].
  std::vector<std::vector<double>> position_posteriors() const {
    auto result = position_sums_;
    for (std::size_t t = 0; t < result.size(); ++t)
      for (double& p : result[t]) p /= static_cast<double>(position_counts_[t]);
    return result;
  }

 private:
  static std::vector<double> token_losses(const ExpertLosses& losses, std::size_t b, std::size_t t) {
    std::vector<double> result;
    for (std::size_t j = 0; j < losses.experts; ++j) result.push_back(losses.at(j, b, t));
    return result;
  }

  /// The logarithm of the moving average of e^average when e^next comes.
  static double moved(double average, double next) {
    const double highest = std::max(average, next);
    if (!std::isfinite(highest)) return highest;
    return highest +
           std::log(new_weight * std::exp(next - highest) + (1 - new_weight) * std::exp(average - highest));
  }

  void accumulate(const std::vector<double>& posterior, std::size_t t) {
    if (position_sums_.size() <= t) {
      position_sums_.resize(t + 1, std::vector<double>(posterior.size(), 0.0));
      position_counts_.resize(t + 1, 0);
    }
    for (std::size_t j = 0; j < posterior.size(); ++j) position_sums_[t][j] += posterior[j];
    ++position_counts_[t];
  }

  Ensemble ensemble_;
  PosteriorOver over_;
  std::vector<double> log_prior_;  // [E], of the next batch
  double loss_sum_ = 0;
  std::size_t tokens_ = 0;
  std::vector<std::vector<double>> batch_posteriors_, position_sums_;
  std::vector<std::size_t> position_counts_;
  std::vector<double> log_average_;  // [E]
};

}  // namespace demix::eval
