#pragma once
// Whether two vocabularies are one, by their fingerprints.
//
// A fingerprint is "DICT" or "DICT+BPE", 16 hexadecimal digits each. DICT depends on the symbols of dict.txt;
// BPE, which is there where the merges are known, on what the symbols stand for. The symbols of vocabularies
// that demix-prepare trained are numbers, so DICT alone tells their sizes apart and nothing else.

#include <atomic>
#include <cstdio>
#include <string>

#include "demix/core/error.hpp"

namespace demix::text {

/// A vocabulary, and where it stands: "data-bin" or "runs/demix/checkpoint_last".
struct NamedVocabulary {
  std::string name, fingerprint;
};

namespace vocabulary_fingerprint_detail {

inline bool knows_merges(const std::string& fingerprint) {
  return fingerprint.find('+') != std::string::npos;
}
inline std::string dictionary_part(const std::string& fingerprint) {
  return fingerprint.substr(0, fingerprint.find('+'));
}

}  // namespace vocabulary_fingerprint_detail

/// Whether nothing that both fingerprints know differs.
inline bool vocabularies_agree(const std::string& a, const std::string& b) {
  using namespace vocabulary_fingerprint_detail;
  return dictionary_part(a) == dictionary_part(b) && (!knows_merges(a) || !knows_merges(b) || a == b);
}

/// Of two fingerprints that agree, the one that says more.
inline const std::string& fuller_fingerprint(const std::string& a, const std::string& b) {
  return vocabulary_fingerprint_detail::knows_merges(a) ? a : b;
}

/// Throws Error, with both and the remedy, unless the vocabularies agree. Where only one of them knows its
/// merges, warns of it on stderr, once in a process. Returns the fuller fingerprint.
inline std::string require_same_vocabulary(const NamedVocabulary& here, const NamedVocabulary& there) {
  using namespace vocabulary_fingerprint_detail;
  const bool known_here = knows_merges(here.fingerprint), known_there = knows_merges(there.fingerprint);
  require(vocabularies_agree(here.fingerprint, there.fingerprint), "the vocabulary of ", here.name,
          " (fingerprint ", here.fingerprint, ") is not that of ", there.name, " (", there.fingerprint, "): ",
          dictionary_part(here.fingerprint) == dictionary_part(there.fingerprint)
              ? "dict.txt is the same, but its symbols stand for other text"
              : "dict.txt lists other symbols",
          ". Use data that was prepared with the same vocabulary: demix-prepare takes one with "
          "--reuse-vocabulary, or with --encoder-json, --vocab-bpe and --dict");
  static std::atomic<bool> warned{false};
  if (known_here != known_there && !warned.exchange(true)) {
    const std::string& unknown = known_here ? there.name : here.name;
    std::fprintf(
        stderr,
        "warning: only the symbols of dict.txt say that %s and %s have one vocabulary: the merges of "
        "%s are not known (an older demix wrote it, or it has no encoder.json and vocab.bpe)\n",
        here.name.c_str(), there.name.c_str(), unknown.c_str());
  }
  return fuller_fingerprint(here.fingerprint, there.fingerprint);
}

}  // namespace demix::text
