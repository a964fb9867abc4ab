#pragma once
// What demix-prepare is told.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "demix/core/types.hpp"
#include "demix/prepare/sequences.hpp"
#include "demix/prepare/splits.hpp"

namespace demix::prepare {

/// What the original puts before every document.
inline constexpr const char* original_document_prefix = "<|endoftext|> ";

struct PrepareSettings {
  enum class VocabularySource {
    trained,  // on a sample of the inputs
    given,    // files
    reused    // that of the data-bin which is added to
  };

  std::vector<std::pair<std::string, std::filesystem::path>> inputs;  // domain, .jsonl file or folder
  std::vector<std::filesystem::path> ignored;                         // what --input-dir has besides
  std::filesystem::path output;
  std::string text_field = "text";
  SplitSettings splits;
  bool keep_duplicates_together = false;  // identical documents of a domain get into one split
  Seed seed;
  std::size_t threads = 1;

  VocabularySource vocabulary = VocabularySource::trained;
  std::filesystem::path encoder_json, vocab_bpe;             // where given
  std::optional<std::filesystem::path> dict;                 // where given; none: all symbols in order
  std::size_t vocabulary_size = 8192;                        // where trained: V, the reserved ids included
  std::uint64_t bpe_sample_bytes = std::uint64_t{32} << 20;  // where trained
  std::optional<std::string> document_prefix;                // none: docs/data.md has the rule
  std::optional<SequenceUnit> sequence_unit;                 // none: the data-bin's, in a new one documents
};

}  // namespace demix::prepare
