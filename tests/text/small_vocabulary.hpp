#pragma once
// Files of a vocabulary of some merges.

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "data/support.hpp"
#include "demix/text/bpe_encoder.hpp"
#include "demix/text/byte_alphabet.hpp"

namespace demix::test {

/// encoder.json and vocab.bpe with the 256 bytes and some merges, which are given as bytes.
struct SmallVocabulary : TemporaryFolder {
  std::vector<std::pair<std::string, std::string>> merges;

  text::BytePairEncoding load(const std::string& header = "#version: 0.2\n") {
    const text::ByteAlphabet alphabet;
    nlohmann::json ids = nlohmann::json::object();
    for (const unsigned char byte : alphabet.order()) ids.emplace(alphabet.spelling(byte), ids.size());
    std::string lines = header;
    for (const auto& [left, right] : merges) {
      ids.emplace(alphabet.spell(left + right), ids.size());
      lines += alphabet.spell(left) + " " + alphabet.spell(right) + "\n";
    }
    write_file(path / "encoder.json", ids.dump());
    write_file(path / "vocab.bpe", lines);
    return text::BytePairEncoding::load(path / "encoder.json", path / "vocab.bpe");
  }
};

/// The bytes of the symbols that a piece is encoded by.
inline std::vector<std::string> encode(text::BytePairEncoder& encoder, const text::BytePairEncoding& bpe,
                                       const std::string& piece) {
  std::vector<text::BpeId> ids;
  encoder.encode(piece, ids);
  std::vector<std::string> symbols;
  for (const text::BpeId id : ids) symbols.push_back(bpe.bytes(id));
  return symbols;
}

}  // namespace demix::test
