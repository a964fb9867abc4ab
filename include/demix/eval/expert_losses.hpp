#pragma once
// Scoring a split with a mixture of experts: every batch is repeated for all experts and scored in one pass.

#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "demix/data/batcher.hpp"
#include "demix/eval/mixture.hpp"
#include "demix/eval/perplexity.hpp"

namespace demix::eval {

/// How much a split is scored, and by how many experts.
struct MixSettings {
  std::vector<DomainId> experts;  // E of the model's domains, all different
  std::size_t sequences = 1;      // blocks of a batch
  std::size_t max_batches = 0;    // 0: all
  std::size_t top_k = 0;          // experts per sequence behind its first segment; 0: all
  std::size_t first_segment = 0;  // positions of a sequence that all experts score; with top_k only
};

/// A pass over many rows leaves the caches, and needs memory for their activations: so many rows are scored
/// at a time, or one expert's.
inline constexpr std::size_t rows_per_pass = 16384;

namespace expert_losses_detail {

/// Sequence b of `batch` for domain, positions [first, last); the target's padding marks the end.
inline void append_sequence(const Batch& batch, std::size_t b, std::size_t first, std::size_t last,
                            DomainId domain, Batch& out) {
  const auto begin = static_cast<std::ptrdiff_t>(b * batch.sequence_length + first),
             end = static_cast<std::ptrdiff_t>(b * batch.sequence_length + last);
  const std::size_t sequence = out.sequences();
  out.source.insert(out.source.end(), batch.source.begin() + begin, batch.source.begin() + end);
  out.target.insert(out.target.end(), batch.target.begin() + begin, batch.target.begin() + end);
  if (!out.segments.empty() && out.segments.back().domain == domain)
    ++out.segments.back().last;
  else
    out.segments.push_back({domain, sequence, sequence + 1});
}

/// What nobody has said anything about.
inline ExpertLosses nothing_asked(const Batch& batch, std::size_t experts) {
  ExpertLosses losses{experts, batch.sequence_length, {}, {}};
  for (std::size_t b = 0; b < batch.sequences(); ++b) losses.lengths.push_back(batch.target_length_of(b));
  losses.values.assign(experts * batch.rows(), std::numeric_limits<double>::infinity());
  return losses;
}

/// A sequence as seen by an expert, both by their numbers.
struct View {
  std::size_t expert, sequence;
};

/// What the expert says about a target. Throws Error unless it is a finite number.
inline double finite_loss(const Scorer& model, DomainId expert, double loss) {
  require(std::isfinite(loss), "the expert '", model.domains()[index(expert)], "' gives a loss of ", loss,
          ": its parameters, or the shared ones, are not all finite");
  return loss;
}

}  // namespace expert_losses_detail

/// -log p of every target of `batch` by those of the experts for which asked[j], one pass for as many of them
/// as fit into rows_per_pass. Costs as much as a forward pass per expert asked.
inline ExpertLosses expert_losses(Scorer& model, const Batch& batch, std::span<const DomainId> experts,
                                  const std::vector<bool>& asked) {
  ExpertLosses losses = expert_losses_detail::nothing_asked(batch, experts.size());
  std::vector<std::size_t> of_pass;
  const auto score = [&] {
    Batch repeated;
    repeated.sequence_length = batch.sequence_length;
    for (const std::size_t j : of_pass)
      for (std::size_t b = 0; b < batch.sequences(); ++b)
        expert_losses_detail::append_sequence(batch, b, 0, batch.sequence_length, experts[j], repeated);
    const auto scored = model.token_losses(repeated);
    for (std::size_t i = 0; i < of_pass.size(); ++i)
      for (std::size_t r = 0; r < batch.rows(); ++r)
        losses.values[of_pass[i] * batch.rows() + r] =
            expert_losses_detail::finite_loss(model, experts[of_pass[i]], scored[i * batch.rows() + r]);
    of_pass.clear();
  };
  for (std::size_t j = 0; j < experts.size(); ++j) {
    if (!asked[j]) continue;
    if (!of_pass.empty() && (of_pass.size() + 1) * batch.rows() > rows_per_pass) score();
    of_pass.push_back(j);
  }
  if (!of_pass.empty()) score();
  return losses;
}

/// The same for the first `first_segment` positions of each sequence; the rest is scored, from a cache of
/// keys and values, by the `k` experts alone that are then the most probable ones of the sequence in
/// `mixture`.
inline ExpertLosses most_probable_expert_losses(Scorer& model, const Batch& batch,
                                                std::span<const DomainId> experts, const Mixture& mixture,
                                                std::size_t k, std::size_t first_segment) {
  const std::size_t sequences = batch.sequences(), head = std::min(first_segment, batch.sequence_length);
  ExpertLosses losses = expert_losses_detail::nothing_asked(batch, experts.size());
  auto cache = model.make_cache(experts.size() * sequences);
  const auto score = [&](std::span<const expert_losses_detail::View> views, std::size_t first,
                         std::size_t last) {
    Batch part;
    part.sequence_length = last - first;
    for (const auto& [j, b] : views)
      expert_losses_detail::append_sequence(batch, b, first, last, experts[j], part);
    const auto scored = model.token_losses(part, *cache);
    for (std::size_t i = 0; i < views.size(); ++i)
      for (std::size_t t = first; t < last; ++t)
        losses.at(views[i].expert, views[i].sequence, t) = expert_losses_detail::finite_loss(
            model, experts[views[i].expert], scored[i * (last - first) + t - first]);
  };
  std::vector<expert_losses_detail::View> all, rest;
  for (std::size_t j = 0; j < experts.size(); ++j)
    for (std::size_t b = 0; b < sequences; ++b) all.push_back({j, b});
  score(all, 0, head);

  losses.kept_from = head;
  for (std::size_t b = 0; b < sequences; ++b)
    losses.kept.push_back(most_probable(mixture.log_posterior_after(losses, b, head), k));
  std::vector<std::size_t> of_cache;
  for (std::size_t v = 0; v < all.size(); ++v) {
    const auto& kept = losses.kept[all[v].sequence];
    if (losses.lengths[all[v].sequence] <= head ||
        std::find(kept.begin(), kept.end(), all[v].expert) == kept.end())
      continue;
    rest.push_back(all[v]);
    of_cache.push_back(v);
  }
  if (!rest.empty()) {
    cache->keep(of_cache);
    score(rest, head, batch.sequence_length);
  }
  return losses;
}

/// Feeds the split's batches to every mixture; on_batch(losses) is called after each. With top_k there must
/// be one mixture: it decides which experts go on. An expert whose prior is 0 in all mixtures is not
/// computed, but for the first segment with top_k. Throws Error, which names the expert, when a loss is not
/// finite.
inline void score_mixtures(Scorer& model, const data::BlockDataset& dataset, const MixSettings& settings,
                           std::vector<Mixture>& mixtures,
                           const std::function<void(const ExpertLosses&)>& on_batch) {
  require(settings.top_k == 0 || mixtures.size() == 1,
          "mixing of the most probable experts: ", mixtures.size(), " mixtures, expected 1");
  for (std::size_t n = 0; n * settings.sequences < dataset.blocks(); ++n) {
    if (settings.max_batches > 0 && n == settings.max_batches) break;
    const Batch batch =
        data::evaluation_batch(dataset, n * settings.sequences, settings.sequences, settings.experts.front());
    std::vector<bool> asked(settings.experts.size(), false);
    for (const auto& mixture : mixtures) {
      const auto prior = mixture.prior();
      for (std::size_t j = 0; j < asked.size(); ++j) asked[j] = asked[j] || prior[j] > 0;
    }
    ExpertLosses losses;
    try {
      losses = settings.top_k > 0
                   ? most_probable_expert_losses(model, batch, settings.experts, mixtures.front(),
                                                 settings.top_k, settings.first_segment)
                   : expert_losses(model, batch, settings.experts, asked);
    } catch (const Error& error) {
      throw Error(concat(dataset.file().path().string(), ", batch ", n + 1, ": ", error.what()));
    }
    for (auto& mixture : mixtures) mixture.add(losses);
    on_batch(losses);
  }
}

/// The moving average of the posterior over all domains of the model on a split's first batches (0: all),
/// with the updating prior and default_posterior, as demix-mix --mode estimate computes it: what a cached
/// prior is, and how the most fitting expert is found.
inline std::vector<double> estimate_posterior(Scorer& model, const data::BlockDataset& dataset,
                                              std::size_t sequences, std::size_t max_batches) {
  MixSettings settings;
  for (std::size_t d = 0; d < model.domains().size(); ++d)
    settings.experts.push_back(DomainId(static_cast<int>(d)));
  settings.sequences = sequences;
  settings.max_batches = max_batches;
  std::vector<Mixture> mixtures{
      Mixture(Ensemble::updating_prior, default_posterior, uniform_prior(settings.experts.size()))};
  score_mixtures(model, dataset, settings, mixtures, [](const ExpertLosses&) {});
  return mixtures.front().average_posterior();
}

}  // namespace demix::eval
