#pragma once
// From text to the model's tokens and back: BPE symbols, numbered by dict.txt.

#include <charconv>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "demix/data/bpe.hpp"
#include "demix/data/bpe_encoder.hpp"
#include "demix/data/dictionary.hpp"
#include "demix/data/pre_tokenizer.hpp"

namespace demix::data {

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

  /// The bytes that tokens stand for. Throws Error for one that stands for no text: a reserved one, or a
  /// padding symbol of dict.txt.
  std::string decode(std::span<const Token> tokens) const {
    std::string text;
    for (const Token token : tokens) {
      const std::string& symbol = dictionary_.symbol(token);
      BpeId id = 0;
      const auto parsed = std::from_chars(symbol.data(), symbol.data() + symbol.size(), id);
      require(parsed.ec == std::errc() && parsed.ptr == symbol.data() + symbol.size() && id < bpe_.size(),
              "token ", token, " ('", symbol, "') stands for no text");
      text += bpe_.bytes(id);
    }
    return text;
  }

 private:
  BytePairEncoding bpe_;
  Dictionary dictionary_;
  std::vector<Token> token_of_;
};

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

}  // namespace demix::data
