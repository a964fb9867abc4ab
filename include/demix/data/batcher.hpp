#pragma once
// Batches for training and evaluation. A training batch is a pure function of its position in the run, so a
// resumed run continues with exactly the batches that an unbroken one would see.

#include <algorithm>
#include <numeric>
#include <vector>

#include "demix/core/checked_size.hpp"
#include "demix/core/philox.hpp"
#include "demix/data/block_dataset.hpp"
#include "demix/data/permutation.hpp"
#include "demix/model/batch.hpp"

namespace demix::data {

/// balanced: every domain gives the same number of sequences to a batch, each domain wrapping around by
/// itself. unbalanced: sequences come from the concatenation of all domains, in proportion to the domains'
/// sizes.
enum class Sampling { balanced, unbalanced };

/// Appends one block of `dataset` to a batch that is being filled.
inline void append_block(const BlockDataset& dataset, std::size_t block, Batch& batch) {
  const std::size_t at = batch.source.size(), length = batch.sequence_length;
  batch.source.resize(at + length);
  batch.target.resize(at + length);
  dataset.fill(block, std::span(batch.source).subspan(at, length),
               std::span(batch.target).subspan(at, length));
}

/// A text of a run: whose it is, and its number among the texts of all ranks, which decides the order of its
/// blocks and where its sequences stand in the batch of all ranks.
struct BatchText {
  DomainId domain;
  std::size_t number;
};

/// The texts of one process: numbered as they come.
inline std::vector<BatchText> numbered(const std::vector<DomainId>& domains) {
  std::vector<BatchText> texts;
  for (const DomainId domain : domains) texts.push_back({domain, texts.size()});
  return texts;
}

/// Which of `of` equal parts of a batch's sequences; sizes differ by one where they cannot be equal.
struct BatchPart {
  std::size_t number = 0, of = 1;
};

/// Shuffled training batches of D texts x `sequences_per_domain` sequences, each epoch in a new order; or a
/// part of each.
class TrainBatcher {
 public:
  /// `datasets[i]` is text `texts[i]`; all have one block length. They must outlive the batcher. Unbalanced
  /// sampling, and more parts than one, need all texts of the run. Throws Error when there are more parts
  /// than sequences.
  TrainBatcher(const std::vector<BlockDataset>& datasets, std::vector<BatchText> texts, Sampling sampling,
               std::size_t sequences_per_domain, Seed seed, BatchPart part = {})
      : datasets_(datasets),
        texts_(std::move(texts)),
        sampling_(sampling),
        sequences_per_domain_(sequences_per_domain),
        seed_(seed),
        part_(part) {
    require(!datasets.empty() && sequences_per_domain > 0, "a batch of ", sequences_per_domain,
            " sequences for each of ", datasets.size(), " domains is empty");
    require(texts_.size() == datasets.size(), datasets.size(), " texts of ", texts_.size(), " domains");
    if (sampling_ == Sampling::unbalanced || part_.of != 1)
      for (std::size_t i = 0; i < texts_.size(); ++i)
        require(texts_[i].number == i, "unbalanced sampling, or a part of a batch: text ", texts_[i].number,
                " stands at place ", i, "; all texts of the run are needed, in their order");
    checked_product("tokens of a batch: domains, sequences of each, tokens of each", datasets.size(),
                    sequences_per_domain, datasets.front().block_length());
    require(part_.number < part_.of && part_.of <= datasets.size() * sequences_per_domain, "part ",
            part_.number, " of ", part_.of, " of a batch of ", datasets.size() * sequences_per_domain,
            " sequences");
    for (const auto& dataset : datasets_) first_block_.push_back(first_block_.back() + dataset.blocks());
  }

  /// The batch at `position`, counted from 0 over micro-batches since the start of training.
  Batch batch(std::uint64_t position) const {
    std::vector<std::vector<std::size_t>> blocks(datasets_.size());
    const std::size_t domains = datasets_.size();
    if (sampling_ == Sampling::balanced) {
      for (std::size_t d = 0; d < domains; ++d)
        for (std::size_t j = 0; j < sequences_per_domain_; ++j)
          blocks[d].push_back(shuffled(position * sequences_per_domain_ + j,
                                       static_cast<std::uint32_t>(texts_[d].number), datasets_[d].blocks()));
    } else {
      const std::size_t sequences = domains * sequences_per_domain_;
      for (std::size_t j = 0; j < sequences; ++j) {
        const std::size_t global = shuffled(position * sequences + j, all_domains, first_block_.back());
        const auto after = std::upper_bound(first_block_.begin(), first_block_.end(), global);
        const auto d = static_cast<std::size_t>(after - first_block_.begin()) - 1;
        blocks[d].push_back(global - first_block_[d]);
      }
    }
    const std::size_t sequences = domains * sequences_per_domain_,
                      first = sequences * part_.number / part_.of,
                      last = sequences * (part_.number + 1) / part_.of;
    Batch batch;
    batch.sequence_length = datasets_.front().block_length();
    std::size_t next = 0;  // the number of a sequence among all of the texts here
    for (std::size_t d = 0; d < domains; ++d) {
      const std::size_t first_here = batch.sequences(), before = next;
      std::size_t skipped = 0;
      for (const std::size_t block : blocks[d]) {
        if (next >= first && next < last)
          append_block(datasets_[d], block, batch);
        else if (next < first)
          ++skipped;
        ++next;
      }
      if (batch.sequences() == first_here) continue;
      const std::size_t first_of_all =
          (sampling_ == Sampling::balanced ? texts_[d].number * sequences_per_domain_ : before) + skipped;
      batch.segments.push_back({texts_[d].domain, first_here, batch.sequences(), first_of_all});
    }
    return batch;
  }

 private:
  static constexpr std::uint32_t all_domains = 0xffffffffu;

  /// The block that comes n-th when `blocks` of them are dealt epoch after epoch, each epoch shuffled anew.
  std::size_t shuffled(std::uint64_t n, std::uint32_t domain, std::size_t blocks) const {
    const std::uint64_t epoch = n / blocks;
    return RandomPermutation(seed_, domain, static_cast<std::uint32_t>(epoch), blocks)(n % blocks);
  }

  const std::vector<BlockDataset>& datasets_;
  std::vector<BatchText> texts_;
  Sampling sampling_;
  std::size_t sequences_per_domain_;
  Seed seed_;
  BatchPart part_;
  std::vector<std::size_t> first_block_{
      0};  // of each domain in the concatenation; the last entry is the total
};

/// Blocks [first, first + sequences) of one domain, in order, fewer at the end: a batch for evaluation. The
/// model takes them for text of `domain`.
inline Batch evaluation_batch(const BlockDataset& dataset, std::size_t first, std::size_t sequences,
                              DomainId domain) {
  Batch batch;
  batch.sequence_length = dataset.block_length();
  const std::size_t last = std::min(checked_sum("blocks", first, sequences), dataset.blocks());
  for (std::size_t block = first; block < last; ++block) append_block(dataset, block, batch);
  batch.segments.push_back({domain, 0, batch.sequences()});
  return batch;
}

}  // namespace demix::data
