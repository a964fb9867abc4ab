#pragma once
// The conditioning policies: how a model is told, in its input, which domain a sequence comes from.

#include <algorithm>

#include "demix/model/batch.hpp"

namespace demix {

/// The input is the text alone.
struct NoConditioning {
  static constexpr std::size_t prefix_length = 0;
  static std::size_t extra_tokens(std::size_t) { return 0; }
  static Batch apply(const Batch& batch, std::size_t) { return batch; }
};

/// A token that names the domain stands in front of every sequence. Tokens V - D .. V - 1 of the model's
/// vocabulary are these names, in the order of the domains. The prefix predicts nothing: its target is
/// ignored.
struct DomainToken {
  static constexpr std::size_t prefix_length = 1;
  static std::size_t extra_tokens(std::size_t domains) { return domains; }

  /// The batch with the prefix: T + 1 tokens a sequence. `first_token` is the model id of domain 0's token.
  static Batch apply(const Batch& batch, std::size_t first_token) {
    const std::size_t length = batch.sequence_length;
    Batch result;
    result.sequence_length = length + 1;
    result.segments = batch.segments;
    result.source.reserve(batch.rows() + batch.sequences());
    result.target.reserve(batch.rows() + batch.sequences());
    for (const auto& segment : batch.segments)
      for (std::size_t s = segment.first; s < segment.last; ++s) {
        result.source.push_back(static_cast<Token>(first_token + index(segment.domain)));
        result.target.push_back(pad_token);
        const auto at = static_cast<std::ptrdiff_t>(s * length),
                   end = static_cast<std::ptrdiff_t>((s + 1) * length);
        result.source.insert(result.source.end(), batch.source.begin() + at, batch.source.begin() + end);
        result.target.insert(result.target.end(), batch.target.begin() + at, batch.target.begin() + end);
      }
    return result;
  }
};

}  // namespace demix
