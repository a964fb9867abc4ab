#pragma once
// Which documents train, validate and test.

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "demix/core/error.hpp"
#include "demix/core/philox.hpp"
#include "demix/data/permutation.hpp"

namespace demix::data {

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
  RandomPermutation order;
  std::array<SplitRange, 3> ranges;  // in the order of split_names
};

/// The key of a domain's shuffle: it depends on the domain's name, not on the domains beside it (FNV-1a).
inline std::uint32_t domain_key(std::string_view domain) {
  std::uint32_t hash = 0x811c9dc5u;
  for (const char c : domain) hash = (hash ^ static_cast<unsigned char>(c)) * 0x01000193u;
  return hash;
}

/// Shuffles `documents` documents of `total_words` words, of which document i has words_of(i), and fills the
/// splits with whole documents until each has reached its number of words: train, valid, test; or, without
/// train_words, valid, test, and the rest for train. Documents are never shared. A fraction leaves the others
/// a document each; where numbers of words leave a split empty, this throws Error.
template <class WordsOf>
SplitPlan plan_splits(const std::string& domain, std::uint64_t documents, std::uint64_t total_words,
                      WordsOf&& words_of, const SplitSettings& settings, Seed seed) {
  require(documents >= 3, "domain '", domain, "' has ", documents,
          " documents with text; train, valid and test need at least one each");
  SplitPlan plan{RandomPermutation(seed, domain_key(domain), 0, documents, RandomStream::splitting), {}};
  const auto fraction_of_words = [&](double fraction) {
    return static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(total_words)));
  };
  const std::array<std::optional<std::uint64_t>, 3> targets{
      settings.train_words, settings.valid_words.value_or(fraction_of_words(settings.valid_fraction)),
      settings.test_words.value_or(fraction_of_words(settings.test_fraction))};

  std::uint64_t position = 0;
  const auto fill = [&](std::size_t split, std::uint64_t left_for_others) {
    const std::uint64_t first = position, end = documents - left_for_others;
    for (std::uint64_t words = 0; position < end && (position == first || words < *targets[split]);)
      words += words_of(plan.order(position++));
    plan.ranges[split] = {first, position};
  };
  if (targets[0]) fill(0, 0);
  fill(1, settings.valid_words ? 0 : 2);
  fill(2, settings.test_words ? 0 : 1);
  if (!targets[0]) plan.ranges[0] = {position, documents};

  for (std::size_t split = 0; split < plan.ranges.size(); ++split)
    require(plan.ranges[split].first < plan.ranges[split].last, "domain '", domain, "': the ",
            split_names[split], " split would be empty: the other splits take all of its ", documents,
            " documents (", total_words, " words); ask for less in them");
  return plan;
}

}  // namespace demix::data
