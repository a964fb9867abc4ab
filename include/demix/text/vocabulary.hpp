#pragma once
// From text to the model's tokens and back: BPE symbols, numbered by dict.txt.

#include <charconv>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "demix/text/bpe.hpp"
#include "demix/text/bpe_encoder.hpp"
#include "demix/text/dictionary.hpp"
#include "demix/text/pre_tokenizer.hpp"

namespace demix::text {

/// The three files that make a vocabulary; a data-bin keeps copies of them.
struct VocabularyFiles {
  std::filesystem::path encoder_json, vocab_bpe, dict;

  static VocabularyFiles in(const std::filesystem::path& folder) {
    return {folder / "encoder.json", folder / "vocab.bpe", folder / "dict.txt"};
  }
};

/// A BPE and the model ids of its symbols. Immutable: threads share one.
class Vocabulary {
 public:
  /// Throws Error as BytePairEncoding::load and Dictionary::load do.
  explicit Vocabulary(const VocabularyFiles& files)
      : bpe_(BytePairEncoding::load(files.encoder_json, files.vocab_bpe)),
        dictionary_(Dictionary::load(files.dict)) {
    token_of_.reserve(bpe_.size());
    for (std::size_t id = 0; id < bpe_.size(); ++id) token_of_.push_back(dictionary_.id(std::to_string(id)));
  }

  const BytePairEncoding& bpe() const { return bpe_; }
  const Dictionary& dictionary() const { return dictionary_; }

  /// The model id of a BPE symbol; unk_token where dict.txt does not list it.
  Token token_of(BpeId id) const { return token_of_[id]; }

  /// "DICT+BPE" (see text/vocabulary_fingerprint.hpp): the second part depends on the bytes that every model
  /// id stands for and on the merges in their order, so on all that encoding and decoding do.
  std::string fingerprint() const {
    std::uint64_t hash = fnv1a("");
    const auto add = [&](std::string_view bytes) {
      hash = fnv1a(bytes, fnv1a(concat(bytes.size(), ":"), hash));
    };
    for (std::size_t token = 0; token < dictionary_.size(); ++token) {
      const auto id = bpe_id(static_cast<Token>(token));
      id ? add(bpe_.bytes(*id)) : add("no text");
    }
    for (const auto& [left, right] : bpe_.merges()) add(bpe_.bytes(left)), add(bpe_.bytes(right));
    return dictionary_.fingerprint() + "+" + hash_digits(hash);
  }

  /// The bytes that tokens stand for. Throws Error for one that stands for no text: a reserved one, or a
  /// padding symbol of dict.txt.
  std::string decode(std::span<const Token> tokens) const {
    std::string text;
    for (const Token token : tokens) {
      const auto id = bpe_id(token);
      require(id.has_value(), "token ", token, " ('", dictionary_.symbol(token), "') stands for no text");
      text += bpe_.bytes(*id);
    }
    return text;
  }

 private:
  /// None for a token that stands for no text.
  std::optional<BpeId> bpe_id(Token token) const {
    const std::string& symbol = dictionary_.symbol(token);
    BpeId id = 0;
    const auto parsed = std::from_chars(symbol.data(), symbol.data() + symbol.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != symbol.data() + symbol.size() || id >= bpe_.size())
      return std::nullopt;
    return id;
  }

  BytePairEncoding bpe_;
  Dictionary dictionary_;
  std::vector<Token> token_of_;
};

/// The fingerprint of a data-bin's vocabulary: "DICT+BPE", or "DICT" where there is no BPE beside dict.txt.
/// Throws Error for files that cannot be read.
inline std::string vocabulary_fingerprint(const std::filesystem::path& data_bin) {
  const auto files = VocabularyFiles::in(data_bin);
  return std::filesystem::exists(files.encoder_json) && std::filesystem::exists(files.vocab_bpe)
             ? Vocabulary(files).fingerprint()
             : Dictionary::load(files.dict).fingerprint();
}

/// Encodes text. One object serves one thread.
class TextEncoder {
 public:
  /// `vocabulary` must outlive the encoder.
  explicit TextEncoder(const Vocabulary& vocabulary) : vocabulary_(vocabulary), encoder_(vocabulary.bpe()) {}

  /// Appends the tokens of `text`. Nothing in it is special: "<|endoftext|>" is text like any other.
  void encode(std::string_view text, std::vector<Token>& tokens) {
    pre_tokenizer_.split(text, [&](std::string_view piece) {
      ids_.clear();
      encoder_.encode(piece, ids_);
      for (const BpeId id : ids_) tokens.push_back(vocabulary_.token_of(id));
    });
  }

 private:
  const Vocabulary& vocabulary_;
  PreTokenizer pre_tokenizer_;
  BytePairEncoder encoder_;
  std::vector<BpeId> ids_;
};

}  // namespace demix::text
