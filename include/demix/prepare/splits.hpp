#pragma once
// Which documents train, validate and test.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/philox.hpp"
#include "demix/data/permutation.hpp"

namespace demix::prepare {

/// The splits of a domain, in the order in which they are named and reported.
inline constexpr std::array<const char*, 3> split_names{"train", "valid", "test"};

/// How much text each split gets, in words between white space (what the original calls tokens here). Either
/// absolute numbers, or fractions of the domain; without train_words, train gets what the others leave.
struct SplitSettings {
  std::optional<std::uint64_t> train_words, valid_words, test_words;
  double valid_fraction = 0.02, test_fraction = 0.02;
};

/// Positions [first, last) of the shuffled documents.
struct SplitRange {
  std::uint64_t first = 0, last = 0;
};

/// A domain's shuffled documents, cut into splits: document `order(position)`.
struct SplitPlan {
  std::function<std::uint64_t(std::uint64_t)> order;
  std::array<SplitRange, 3> ranges;  // in the order of split_names
};

/// The key of a domain's shuffle: it depends on the domain's name, not on the domains beside it (FNV-1a).
inline std::uint32_t domain_key(std::string_view domain) {
  std::uint32_t hash = 0x811c9dc5u;
  for (const char c : domain) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193u;
  return hash;
}

/// Deals documents, or groups of them that belong together, to splits: each is filled until it has its number
/// of words.
class SplitFiller {
 public:
  /// Fills train, valid, test; or, without train_words, valid and test, and the rest is for train.
  SplitFiller(const SplitSettings& settings, std::uint64_t documents, std::uint64_t total_words)
      : documents_(documents), total_words_(total_words) {
    const auto part = [&](double fraction) {
      return static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(total_words)));
    };
    // A fraction leaves the splits after it a document each.
    if (settings.train_words) stages_.push_back({0, *settings.train_words, 0});
    stages_.push_back(
        {1, settings.valid_words.value_or(part(settings.valid_fraction)), settings.valid_words ? 0u : 2u});
    stages_.push_back(
        {2, settings.test_words.value_or(part(settings.test_fraction)), settings.test_words ? 0u : 1u});
    if (!settings.train_words) rest_ = 0;
  }

  /// Whether all further documents are the rest.
  bool full() const { return stage_ == stages_.size(); }

  /// The split of the next group; none where it is not used. A group of several with more words than the
  /// split is to have, and than a tenth of all, counts to the rest.
  std::optional<std::size_t> deal(std::uint64_t documents, std::uint64_t words) {
    const std::uint64_t position = position_;
    position_ += documents;
    for (; !full(); ++stage_, taken_ = words_ = 0) {
      const Stage& stage = stages_[stage_];
      if (position + stage.left_for_others >= documents_ || (taken_ > 0 && words_ >= stage.words)) continue;
      if (documents > 1 && words > std::max(stage.words, total_words_ / 10)) return rest_;
      taken_ += documents;
      words_ += words;
      return stage.split;
    }
    return rest_;
  }

 private:
  struct Stage {
    std::size_t split;
    std::uint64_t words, left_for_others;
  };
  std::vector<Stage> stages_;
  std::optional<std::size_t> rest_;
  std::uint64_t documents_, total_words_, position_ = 0;
  std::size_t stage_ = 0;
  std::uint64_t taken_ = 0, words_ = 0;  // in this stage
};

inline void require_enough_documents(const std::string& domain, std::uint64_t documents) {
  require(documents >= 3, "domain '", domain, "' has ", documents,
          " documents with text; train, valid and test need at least one each");
}

inline void require_no_empty_split(const std::string& domain, const SplitPlan& plan, std::uint64_t documents,
                                   std::uint64_t total_words) {
  for (std::size_t split = 0; split < plan.ranges.size(); ++split)
    require(plan.ranges[split].first < plan.ranges[split].last, "domain '", domain, "': the ",
            split_names[split], " split would be empty: the other splits take all of its ", documents,
            " documents (", total_words, " words); ask for less in them");
}

/// Shuffles `documents` documents of `total_words` words, of which document i has words_of(i), and fills the
/// splits with whole documents as SplitFiller does. Documents are never shared. Throws Error where a split
/// would be empty.
template <class WordsOf>
SplitPlan plan_splits(const std::string& domain, std::uint64_t documents, std::uint64_t total_words,
                      WordsOf&& words_of, const SplitSettings& settings, Seed seed) {
  require_enough_documents(domain, documents);
  SplitPlan plan{data::RandomPermutation(seed, domain_key(domain), 0, documents, RandomStream::splitting),
                 {}};
  SplitFiller filler(settings, documents, total_words);
  for (std::uint64_t position = 0; position < documents; ++position) {
    const auto split = filler.deal(1, words_of(plan.order(position)));
    if (split) {
      SplitRange& range = plan.ranges[*split];
      if (range.last == 0) range.first = position;
      range.last = filler.full() ? documents : position + 1;
    }
    if (filler.full()) break;
  }
  require_no_empty_split(domain, plan, documents, total_words);
  return plan;
}

}  // namespace demix::prepare
