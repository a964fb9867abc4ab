#pragma once
// Names that a user chooses from a list, and what to say about one that is not in it.

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"

namespace demix {

/// The Levenshtein distance of two words. O(|a| |b|).
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row.back();
}

/// The candidate nearest to `word`, or an empty string when none is near enough to be a slip of the pen.
inline std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const auto& candidate : candidates)
    if (const auto distance = edit_distance(word, candidate); distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  return best;
}

/// `word` if it is one of `allowed`; otherwise UsageError, which names the nearest right one and all of them.
inline const std::string& require_one_of(const std::string& what, const std::string& word,
                                         const std::vector<std::string>& allowed) {
  if (std::find(allowed.begin(), allowed.end(), word) != allowed.end()) return word;
  std::string message = concat(what, ": unknown value '", word, "'");
  if (const auto near = nearest_name(word, allowed); !near.empty())
    message += concat("; did you mean '", near, "'?");
  message += "; it is one of:";
  for (const auto& name : allowed) message += " " + name;
  throw UsageError(message);
}

/// "a,b,c" without empty items. Throws UsageError for an empty item.
inline std::vector<std::string> split_list(const std::string& option, const std::string& text) {
  std::vector<std::string> items;
  std::size_t first = 0;
  while (first <= text.size()) {
    const std::size_t last = std::min(text.find(',', first), text.size());
    items.push_back(text.substr(first, last - first));
    if (items.back().empty()) throw UsageError(concat(option, ": '", text, "' has an empty item"));
    first = last + 1;
  }
  return items;
}

}  // namespace demix
