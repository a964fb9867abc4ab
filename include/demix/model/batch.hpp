#pragma once
// What a model is fed: whole sequences, sorted by domain.

#include <cstddef>
#include <span>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/types.hpp"

namespace demix {

/// Sequences [first, last) of a batch belong to `domain`: a DEMix layer sends them through its expert.
struct Segment {
  DomainId domain;
  std::size_t first, last;
  /// The number of sequence `first` among those of all ranks: randomness is keyed by it, so that ranks that
  /// share a batch draw what one process draws.
  std::size_t first_of_all = first;
};

/// B sequences of T tokens. Row b T + t of `source` is the model's input, the same row of `target` what it
/// should predict; a target equal to pad_token is ignored.
struct Batch {
  std::size_t sequence_length = 0;  // T
  std::vector<Token> source;        // [B T]
  std::vector<Token> target;        // [B T]
  std::vector<Segment> segments;    // cover the sequences in order, without gaps

  std::size_t rows() const { return source.size(); }
  std::size_t sequences() const { return sequence_length ? source.size() / sequence_length : 0; }
  std::size_t target_tokens() const {
    std::size_t count = 0;
    for (const Token token : target) count += token != pad_token;
    return count;
  }

  /// How many tokens of sequence b are not padding at its end.
  std::size_t length_of(std::size_t b) const { return length_of(source, b); }
  /// The same of its targets.
  std::size_t target_length_of(std::size_t b) const { return length_of(target, b); }

  /// Throws Error unless sizes, segments and tokens are consistent with a vocabulary of V and D domains.
  void validate(std::size_t vocabulary, std::size_t domains) const {
    require(sequence_length > 0 && source.size() == target.size() && source.size() % sequence_length == 0,
            "batch: ", source.size(), " source and ", target.size(),
            " target tokens do not make sequences of ", sequence_length);
    std::size_t next = 0;
    for (const auto& segment : segments) {
      require(segment.first == next && segment.last >= segment.first, "batch: a segment starts at sequence ",
              segment.first, ", expected ", next);
      require(index(segment.domain) < domains, "batch: domain ", index(segment.domain), " of a model with ",
              domains, " domains");
      next = segment.last;
    }
    require(next == sequences(), "batch: segments end at sequence ", next, " of ", sequences());
    for (const auto* tokens : {&source, &target})
      for (const Token token : *tokens)
        require(token >= 0 && static_cast<std::size_t>(token) < vocabulary, "batch: token ", token,
                " is not in the vocabulary of ", vocabulary);
  }

 private:
  std::size_t length_of(const std::vector<Token>& tokens, std::size_t b) const {
    std::size_t length = sequence_length;
    while (length > 0 && tokens[b * sequence_length + length - 1] == pad_token) --length;
    return length;
  }
};

}  // namespace demix
