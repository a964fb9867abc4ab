#pragma once
// From a split back to its text.

#include <filesystem>
#include <string_view>
#include <vector>

#include "demix/core/output_file.hpp"
#include "demix/data/indexed_file.hpp"
#include "demix/prepare/sequences.hpp"
#include "demix/text/vocabulary.hpp"

namespace demix::prepare {

/// Writes the sequences of PREFIX.bin without their </s> and, where they begin with it, without the document
/// prefix: documents back to back, lines each with a newline. Throws Error for damaged files, tokens that
/// stand for no text, and a full disk.
inline void decode_split(const std::filesystem::path& prefix, const text::Vocabulary& vocabulary,
                         SequenceUnit unit, std::string_view document_prefix, OutputFile& out) {
  const data::TokenFile file(prefix, vocabulary.dictionary().size());
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < file.documents(); ++i) {
    const auto [first, last] = file.document(i);
    tokens.resize(last - first);
    file.read(first, tokens);
    if (!tokens.empty() && tokens.back() == eos_token) tokens.pop_back();
    out.write(without_prefix(unit, vocabulary.decode(tokens), document_prefix));
    if (unit == SequenceUnit::line) out.write("\n");
  }
  out.commit();
}

}  // namespace demix::prepare
