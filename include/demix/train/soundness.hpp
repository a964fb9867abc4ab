#pragma once
// Whether an update's numbers are numbers.

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/types.hpp"
#include "demix/train/update_statistics.hpp"

namespace demix::train {

/// Throws Error for an update without a target token.
inline void require_tokens(const UpdateReport& report, std::uint64_t update, std::size_t micro_batches) {
  require(report.all_tokens() > 0, "update ", update, ": its ", micro_batches,
          " micro-batches have no target token, only padding (id ", pad_token,
          "): the train split holds it as if it were text; prepare the text again");
}

/// What of an update is not finite, in words: a loss or perplexity and its domain, or a gradient and its
/// region. Nothing where all are.
inline std::optional<std::string> not_finite(const UpdateReport& report,
                                             const std::vector<std::string>& domains) {
  for (std::size_t d = 0; d < report.losses.size(); ++d) {
    const std::string where = " on domain '" + domains[d] + "'";
    if (!std::isfinite(report.losses[d])) return "the loss" + where;
    if (const double mean = report.losses[d] / report.tokens[d];
        report.tokens[d] > 0 && !has_perplexity(mean))
      return concat("the perplexity of a mean loss of ", mean, " nats", where);
  }
  for (std::size_t r = 0; r < report.squares.size(); ++r)
    if (!std::isfinite(report.squares[r]))
      return r == 0 ? "the gradient of the shared parameters"
                    : "the gradient of the expert of domain '" + domains[r - 1] + "'";
  if (!std::isfinite(report.gradient_scale)) return "the gradient's norm";
  return std::nullopt;
}

}  // namespace demix::train
