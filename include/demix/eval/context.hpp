#pragma once
// What a model still sees of texts that are longer than its context, read by several experts at once.

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/eval/scorer.hpp"

namespace demix::eval {

/// Where the context begins that predicts what follows n tokens, in a model with room for `capacity`: it
/// grows until it is full; then the newest half stays, and it grows again.
inline std::size_t context_start(std::size_t n, std::size_t capacity) {
  if (n <= capacity) return 0;
  const std::size_t step = capacity + 1 - std::max<std::size_t>(1, capacity / 2);
  return (n - capacity + step - 1) / step * step;
}

/// The contexts of S growing texts, each read by E experts. With a cache, a token is read once, and a context
/// that has moved is read again, together with the other texts'; without, everything is read for every
/// token. Both see the same contexts.
class Contexts {
 public:
  using Texts = std::vector<std::span<const Token>>;

  /// `model` must outlive this. The memory of the cache is that of E S contexts.
  Contexts(Scorer& model, std::vector<DomainId> experts, std::size_t texts, bool cached)
      : model_(model), experts_(std::move(experts)), starts_(texts, 0) {
    if (cached) cache_ = model.make_cache(experts_.size() * texts);
  }

  /// Reads all but the last token of each text: once, and first. Calls observe(text, losses [E]), with
  /// -log p_j of the text's next token, for all tokens but a text's first, in order.
  template <class Observe>
  void read_prompts(const Texts& texts, Observe observe) {
    std::vector<Range> newest;
    std::vector<std::size_t> scored_to;  // of each text: up to here its tokens are observed
    for (std::size_t s = 0; s < texts.size(); ++s) {
      Range range{0, 0};
      std::size_t scored = 1;
      while (scored < texts[s].size()) {
        range.first = context_start(scored, model_.text_length());
        range.last = std::min(range.first + model_.text_length(), texts[s].size() - 1);
        if (range.last + 1 == texts[s].size()) break;
        const Batch batch = batch_of({texts[s]}, {range}, true);
        report(model_.token_losses(batch), batch, {s}, {range}, {scored}, observe);
        scored = range.last + 1;
      }
      newest.push_back(range);
      scored_to.push_back(scored);
      starts_[s] = range.first;
    }
    if (std::all_of(newest.begin(), newest.end(), [](const Range& r) { return r.size() == 0; })) return;
    std::vector<std::size_t> all;
    for (std::size_t s = 0; s < texts.size(); ++s) all.push_back(s);
    const Batch batch = batch_of(texts, newest, true);
    report(cache_ ? model_.token_losses(batch, *cache_) : model_.token_losses(batch), batch, all, newest,
           scored_to, observe);
  }

  /// Reads what is new: the texts' last tokens. The logits of what follows, [E, S, V].
  std::vector<double> next_logits(const Texts& texts) {
    std::vector<Range> ranges;
    for (const auto& text : texts)
      ranges.push_back({context_start(text.size(), model_.text_length()), text.size()});
    if (!cache_) return logits_without_cache(texts, ranges);
    bool moved = false;
    for (std::size_t s = 0; s < texts.size(); ++s) {
      moved = moved || ranges[s].first != starts_[s];
      starts_[s] = ranges[s].first;
    }
    if (moved)
      cache_->clear();
    else
      for (Range& range : ranges) range.first = range.last - 1;
    return model_.next_logits(batch_of(texts, ranges, false), *cache_);
  }

  /// Only these texts go on.
  void keep(std::span<const std::size_t> texts) {
    std::vector<std::size_t> sequences, starts;
    for (std::size_t j = 0; j < experts_.size(); ++j)
      for (const std::size_t s : texts) sequences.push_back(j * starts_.size() + s);
    for (const std::size_t s : texts) starts.push_back(starts_[s]);
    if (cache_) cache_->keep(sequences);
    starts_ = std::move(starts);
  }

 private:
  struct Range {
    std::size_t first, last;
    std::size_t size() const { return last - first; }
  };

  /// These tokens of each text, once for every expert, in [E S T] order; `with_targets`, the next tokens are
  /// the targets.
  Batch batch_of(const Texts& texts, const std::vector<Range>& ranges, bool with_targets) const {
    Batch batch;
    for (const Range& range : ranges) batch.sequence_length = std::max(batch.sequence_length, range.size());
    for (std::size_t j = 0; j < experts_.size(); ++j) {
      batch.segments.push_back({experts_[j], j * texts.size(), (j + 1) * texts.size()});
      for (std::size_t s = 0; s < texts.size(); ++s)
        for (std::size_t t = 0; t < batch.sequence_length; ++t) {
          const bool inside = t < ranges[s].size();
          batch.source.push_back(inside ? texts[s][ranges[s].first + t] : pad_token);
          batch.target.push_back(inside && with_targets ? texts[s][ranges[s].first + t + 1] : pad_token);
        }
    }
    return batch;
  }

  /// Observes the losses [E S T] of a batch of ranges of some texts, from token scored_to[i] of each on.
  template <class Observe>
  void report(const std::vector<double>& losses, const Batch& batch, const std::vector<std::size_t>& texts,
              const std::vector<Range>& ranges, const std::vector<std::size_t>& scored_to,
              Observe& observe) const {
    std::vector<double> of_token(experts_.size());
    for (std::size_t i = 0; i < texts.size(); ++i)
      for (std::size_t at = scored_to[i]; at <= ranges[i].last; ++at) {
        for (std::size_t j = 0; j < experts_.size(); ++j)
          of_token[j] = losses[(j * texts.size() + i) * batch.sequence_length + at - 1 - ranges[i].first];
        observe(texts[i], of_token);
      }
  }

  /// One sequence at a time: whole contexts need much memory for their activations.
  std::vector<double> logits_without_cache(const Texts& texts, const std::vector<Range>& ranges) {
    std::vector<double> result;
    for (const DomainId expert : experts_)
      for (std::size_t s = 0; s < texts.size(); ++s) {
        Batch batch = batch_of({texts[s]}, {ranges[s]}, false);
        batch.source.resize(batch.sequence_length);
        batch.target.resize(batch.sequence_length);
        batch.segments = {{expert, 0, 1}};
        const auto logits = model_.next_logits(batch);
        result.insert(result.end(), logits.begin(), logits.end());
      }
    return result;
  }

  Scorer& model_;
  std::vector<DomainId> experts_;
  std::vector<std::size_t> starts_;  // [S]: of the contexts in the cache
  std::unique_ptr<Scorer::Cache> cache_;
};

}  // namespace demix::eval
