#pragma once
// Perplexity of a model on a split: exp of the mean of -log p over all target tokens.

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "demix/data/batcher.hpp"
#include "demix/eval/scorer.hpp"

namespace demix::eval {

/// What scoring a split gives.
struct Score {
  double loss_sum = 0;  // of -log p, in nats
  std::size_t tokens = 0;
  double seconds = 0;

  double loss() const { return loss_sum / static_cast<double>(tokens); }
  double perplexity() const { return std::exp(loss()); }
  double tokens_per_second() const { return static_cast<double>(tokens) / seconds; }
};

/// How many blocks a batch of evaluation holds by default: about 2 048 tokens.
inline std::size_t default_sequences(std::size_t block_length) {
  return std::max<std::size_t>(1, 2048 / block_length);
}

/// Scores the first `max_batches` batches (0: all) of `sequences` blocks each, as text of `domain`: that
/// chooses the expert, or the domain token. `poll` is called before each batch; what it throws ends the
/// scoring. Throws Error when there is no target or a loss is not finite.
inline Score evaluate(
    Scorer& model, const data::BlockDataset& dataset, DomainId domain, std::size_t sequences,
    std::size_t max_batches = 0, const std::function<void()>& poll = [] {}) {
  const auto start = std::chrono::steady_clock::now();
  Score score;
  for (std::size_t b = 0; b * sequences < dataset.blocks() && (max_batches == 0 || b < max_batches); ++b) {
    poll();
    const Batch batch = data::evaluation_batch(dataset, b * sequences, sequences, domain);
    for (const double loss : model.token_losses(batch)) score.loss_sum += loss;
    score.tokens += batch.target_tokens();
    require(std::isfinite(score.loss_sum), dataset.file().path(), ", batch ", b + 1, ": scored as domain '",
            model.domains()[index(domain)],
            "', the loss is not finite: the model's parameters are not all finite");
  }
  score.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  require(score.tokens > 0, dataset.file().path(), ": no token to score");
  return score;
}

/// A perplexity as a JSON value: a number, or "inf" where e^loss is more than a double holds, which JSON has
/// no number for.
inline nlohmann::json perplexity_json(double perplexity) {
  return std::isfinite(perplexity) ? nlohmann::json(perplexity) : nlohmann::json("inf");
}

/// The mean of perplexities, every domain counting the same.
inline double average_perplexity(const std::vector<Score>& scores) {
  double sum = 0;
  for (const auto& score : scores) sum += score.perplexity();
  return sum / static_cast<double>(scores.size());
}

}  // namespace demix::eval
