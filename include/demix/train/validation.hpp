#pragma once
// The perplexity of every domain's validation text, scored by the ranks that hold the domain.

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "demix/comm/agreement.hpp"
#include "demix/comm/placement.hpp"
#include "demix/eval/perplexity.hpp"
#include "demix/train/settings.hpp"
#include "demix/train/trainable_model.hpp"
#include "demix/train/training_data.hpp"

namespace demix::train {

/// What validation found.
struct Validation {
  std::vector<std::pair<std::string, double>> perplexities;  // by domain, in the model's order
  double average;                                            // every domain counting the same
};

/// Scores the text of the domains that the settings name. A domain is scored whole by one of the ranks that
/// read it, so the numbers are those of one process, bit for bit; of k readers each takes every k-th of their
/// domains. `poll` is called before each batch, and what it throws ends the validation of all ranks at the
/// same batch, like Agreement::in_turns. Collective; all ranks get the same.
template <device::Device D, Precision P, comm::Communicator Comm>
Validation validate(TrainableModel<D, P>& model, const TrainingData& data, const comm::Placement& placement,
                    comm::Agreement<D, Comm>& ranks, const ValidationSettings& settings,
                    const std::function<void()>& poll) {
  const auto& names = model.domains();
  std::vector<double> losses(names.size(), 0.0), tokens(names.size(), 0.0);
  ranks.in_turns(poll, [&](const auto& turn) {
    for (std::size_t i = placement.reader(); i < data.valid.size(); i += placement.readers()) {
      const auto& wanted = settings.domains;
      if (!wanted.empty() && std::ranges::count(wanted, names[index(data.domains[i])]) == 0) continue;
      const auto& text = data.valid[i];
      const std::size_t sequences =
          settings.batch_size > 0 ? settings.batch_size : eval::default_sequences(text.block_length());
      const auto score =
          eval::evaluate(model.scorer(), text, data.domains[i], sequences, settings.max_batches, turn);
      losses[index(data.domains[i])] = score.loss_sum;
      tokens[index(data.domains[i])] = static_cast<double>(score.tokens);
    }
  });
  ranks.sum(losses);
  ranks.sum(tokens);
  Validation result;
  std::vector<eval::Score> scores;
  for (std::size_t d = 0; d < names.size(); ++d) {
    if (tokens[d] == 0) continue;  // a domain that is not trained, or not asked for
    scores.push_back({losses[d], static_cast<std::size_t>(tokens[d])});
    result.perplexities.emplace_back(names[d], scores.back().perplexity());
  }
  result.average = eval::average_perplexity(scores);
  return result;
}

}  // namespace demix::train
