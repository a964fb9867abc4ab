#pragma once
// Experts that are fixed distributions, a split for them to score, and what a mixture of them should say: the
// formulas of Bayes' rule computed directly, with products of probabilities in double precision.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <filesystem>
#include <utility>
#include <vector>

#include "demix/data/indexed_file_writer.hpp"
#include "demix/eval/expert_losses.hpp"
#include "eval/fake_scorer.hpp"
#include "temporary_folder.hpp"

namespace demix::test {

/// Experts of which number j says that token 4 + i has the probability table[j][i], whatever came before.
class FixedModel : public FakeScorer {
 public:
  explicit FixedModel(std::vector<std::vector<double>> table)
      : FakeScorer({"a", "b", "c"}), table_(std::move(table)) {}

  std::size_t rows = 0, most_rows = 0;  // scored in all, and at most at a time

  using FakeScorer::token_losses;
  std::vector<double> token_losses(const Batch& batch) override {
    rows += batch.rows();
    most_rows = std::max(most_rows, batch.rows());
    std::vector<double> losses;
    for_each_sequence(batch, [&](const std::vector<double>& p, std::size_t first) {
      for (std::size_t r = first; r < first + batch.sequence_length; ++r)
        losses.push_back(batch.target[r] == pad_token
                             ? 0.0
                             : -std::log(p.at(static_cast<std::size_t>(batch.target[r] - 4))));
    });
    return losses;
  }
  using FakeScorer::next_logits;
  std::vector<double> next_logits(const Batch& batch, Cache& cache) override {
    of(batch, cache);
    std::vector<double> logits;
    for_each_sequence(batch, [&](const std::vector<double>& p, std::size_t) {
      for (std::size_t v = 0; v < 4; ++v) logits.push_back(-1e30);
      for (const double each : p) logits.push_back(std::log(each) + 3);
    });
    return logits;
  }

 private:
  /// f(distribution, first row) for every sequence.
  template <class F>
  void for_each_sequence(const Batch& batch, F f) const {
    for (const auto& segment : batch.segments)
      for (std::size_t s = segment.first; s < segment.last; ++s)
        f(table_.at(index(segment.domain)), s * batch.sequence_length);
  }

  std::vector<std::vector<double>> table_;
};

inline const std::vector<std::vector<double>> table_of_three{
    {0.7, 0.2, 0.1}, {0.1, 0.6, 0.3}, {0.25, 0.25, 0.5}};

/// 16 tokens: blocks of 6, 6 and 4.
inline const std::vector<Token> split_text{4, 6, 5, 5, 6, 4, 4, 4, 5, 6, 6, 6, 5, 4, 5, 6};
inline constexpr std::size_t block_length = 6;

/// Three experts, and the text as a split.
struct FixedSplit {
  TemporaryFolder folder;
  FixedModel model{table_of_three};

  data::BlockDataset dataset() {
    const auto prefix = folder.path / "split";
    if (!std::filesystem::exists(prefix.string() + ".idx")) {
      data::TokenFileWriter writer(prefix, 7);
      writer.add(split_text);
      writer.finish();
    }
    return data::BlockDataset(data::TokenFile(prefix, 7), block_length);
  }

  eval::MixSettings settings(std::size_t sequences) {
    eval::MixSettings result;
    result.experts = {DomainId{0}, DomainId{1}, DomainId{2}};
    result.sequences = sequences;
    return result;
  }
};

/// What a mixture should say.
struct Direct {
  double loss_sum = 0;
  std::vector<std::vector<double>> batch_posteriors, averages;
  std::vector<double> prior_at_end;
};

inline double p(std::size_t expert, Token token) {
  return table_of_three[expert][static_cast<std::size_t>(token - 4)];
}

/// The formulas, by the book: p(D = j | x_<t) = p(x_<t | j) prior_j / sum over experts of the same.
inline Direct directly(eval::Ensemble ensemble, eval::PosteriorOver over, std::vector<double> prior,
                       std::size_t sequences) {
  Direct result;
  std::vector<double> average;
  for (std::size_t first = 0; first < split_text.size(); first += sequences * block_length) {
    std::vector<double> mean(3, 0.0);
    std::size_t count = 0;
    for (std::size_t b = first; b < std::min(first + sequences * block_length, split_text.size());
         b += block_length) {
      ++count;
      const std::size_t end = std::min(b + block_length, split_text.size());
      std::vector<double> posterior(3);
      for (std::size_t t = b; t < end; ++t) {
        double total = 0, mixed = 0;
        for (std::size_t j = 0; j < 3; ++j) {
          double likelihood = 1;
          if (over == eval::PosteriorOver::prefix)
            for (std::size_t s = b; s < t; ++s) likelihood *= p(j, split_text[s]);
          else if (t > b)
            likelihood = p(j, split_text[t - 1]);
          posterior[j] = ensemble == eval::Ensemble::simple_average ? 1 : likelihood * prior[j];
          total += posterior[j];
        }
        for (std::size_t j = 0; j < 3; ++j) mixed += (posterior[j] /= total) * p(j, split_text[t]);
        result.loss_sum -= std::log(mixed);
      }
      for (std::size_t j = 0; j < 3; ++j) mean[j] += posterior[j];
    }
    for (double& m : mean) m /= static_cast<double>(count);
    if (average.empty())
      average = mean;
    else
      for (std::size_t j = 0; j < 3; ++j) average[j] = 0.7 * average[j] + 0.3 * mean[j];
    result.batch_posteriors.push_back(mean);
    result.averages.push_back(average);
    if (ensemble == eval::Ensemble::updating_prior) prior = average;
  }
  result.prior_at_end = prior;
  return result;
}

inline void check_close(const std::vector<double>& found, const std::vector<double>& expected,
                        double tolerance) {
  BOOST_TEST_REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) BOOST_TEST(std::fabs(found[i] - expected[i]) <= tolerance);
}

}  // namespace demix::test
