#pragma once
// Training a byte-level BPE on a sample of text.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "demix/core/output_file.hpp"
#include "demix/text/bpe.hpp"
#include "demix/text/byte_alphabet.hpp"
#include "demix/text/pre_tokenizer.hpp"
#include "demix/text/vocabulary.hpp"

namespace demix::text {

/// Counts the pieces of a sample, then merges the most frequent pair of neighbours again and again (Sennrich
/// et al. 2016). The result is a pure function of the sample: equally frequent pairs merge in the order of
/// their ids.
class BpeTrainer {
 public:
  /// Adds text to the sample. Memory grows with the number of distinct pieces.
  void add(std::string_view text) {
    pre_tokenizer_.split(text, [&](std::string_view piece) {
      for (; piece.size() > longest_word; piece.remove_prefix(longest_word))
        ++word_counts_[std::string(piece.substr(0, longest_word))];
      ++word_counts_[std::string(piece)];
    });
  }

  /// Merges until there are `symbols` of them, or no pair occurs twice. Returns how many there are. Call it
  /// once. `poll` is called often, and may throw. Throws Error for fewer than 256, which the bytes alone
  /// need.
  std::size_t train(
      std::size_t symbols, const std::function<void()>& poll = [] {}) {
    require(symbols >= 256, "a BPE of ", symbols, " symbols: the 256 bytes alone need more");
    spell_words();
    for (std::uint32_t w = 0; w < words_.size(); ++w) add_pairs(w, +1, nullptr);
    apply_changes();
    while (symbols_.size() < symbols && !heap_.empty()) {
      poll();
      const Candidate best = heap_.top();
      heap_.pop();
      const std::uint64_t count = pairs_[best.pair].count;
      if (count == best.count)
        merge(best.pair);
      else if (count >= 2 && count < best.count)
        heap_.push({count, best.pair});  // it was more frequent when it was queued
    }
    return symbols_.size();
  }

  /// Writes encoder.json, vocab.bpe and dict.txt (all symbols in the order of their ids, with their counts in
  /// the sample). Throws Error.
  void save(const VocabularyFiles& files) const {
    const ByteAlphabet alphabet;
    OutputFile encoder(files.encoder_json), merges(files.vocab_bpe), dict(files.dict);
    for (std::size_t id = 0; id < symbols_.size(); ++id)
      encoder.write(concat(id == 0 ? "{" : ", ",
                           nlohmann::json(alphabet.spell(symbols_[id])).dump(-1, ' ', true), ": ", id));
    encoder.write("}");
    merges.write("#version: 0.2\n");
    for (const auto& [left, right] : merges_)
      merges.write(alphabet.spell(symbols_[left]) + " " + alphabet.spell(symbols_[right]) + "\n");
    std::vector<std::uint64_t> counts(symbols_.size());
    for (const Word& word : words_)
      for (const BpeId id : word.ids) counts[id] += word.count;
    for (std::size_t id = 0; id < counts.size(); ++id) dict.write(concat(id, " ", counts[id], "\n"));
    encoder.commit();
    merges.commit();
    dict.commit();
  }

 private:
  // Longer pieces (separator lines, encoded binaries) are counted in parts, so that a merge costs little.
  static constexpr std::size_t longest_word = 64;

  struct Word {
    std::vector<BpeId> ids;
    std::uint64_t count;
  };
  struct Pair {
    std::uint64_t count = 0;
    std::vector<std::uint32_t> words;  // those that may hold the pair
  };
  struct Candidate {
    std::uint64_t count, pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  static std::uint64_t pair_of(BpeId left, BpeId right) { return std::uint64_t{left} << 32 | right; }

  void spell_words() {
    const ByteAlphabet alphabet;
    std::array<BpeId, 256> ids{};
    for (BpeId id = 0; id < 256; ++id) {
      ids[alphabet.order()[id]] = id;
      symbols_.emplace_back(1, static_cast<char>(alphabet.order()[id]));
      id_of_.emplace(symbols_.back(), id);
    }
    words_.reserve(word_counts_.size());
    for (const auto& [bytes, count] : word_counts_) {
      Word word{{}, count};
      for (const char byte : bytes) word.ids.push_back(ids[static_cast<unsigned char>(byte)]);
      words_.push_back(std::move(word));
    }
    word_counts_ = {};
  }

  /// Notes that the pairs of word `w` come (+1) or go (-1), and, where `merged` is given, where to find those
  /// that hold it; without, where to find all.
  void add_pairs(std::uint32_t w, std::int64_t sign, const BpeId* merged) {
    const Word& word = words_[w];
    for (std::size_t i = 0; i + 1 < word.ids.size(); ++i) {
      const std::uint64_t pair = pair_of(word.ids[i], word.ids[i + 1]);
      changes_[pair] += sign * static_cast<std::int64_t>(word.count);
      if (sign < 0 || (merged && word.ids[i] != *merged && word.ids[i + 1] != *merged)) continue;
      auto& found_in = pairs_[pair].words;
      if (found_in.empty() || found_in.back() != w) found_in.push_back(w);
    }
  }

  void apply_changes() {
    for (const auto& [key, change] : changes_) {
      if (change == 0) continue;
      Pair& pair = pairs_[key];
      pair.count += static_cast<std::uint64_t>(change);
      if (pair.count == 0)
        pairs_.erase(key);
      else if (change > 0 && pair.count >= 2)
        heap_.push({pair.count, key});
    }
    changes_.clear();
  }

  void merge(std::uint64_t pair) {
    const auto left = static_cast<BpeId>(pair >> 32), right = static_cast<BpeId>(pair);
    merges_.emplace_back(left, right);
    // Two pairs may spell the same symbol (ab+c, a+bc).
    const auto [spelled, is_new] =
        id_of_.try_emplace(symbols_[left] + symbols_[right], static_cast<BpeId>(symbols_.size()));
    if (is_new) symbols_.push_back(spelled->first);
    const BpeId merged = spelled->second;
    const auto found_in = std::move(pairs_[pair].words);
    for (const std::uint32_t w : found_in) {
      auto& ids = words_[w].ids;
      add_pairs(w, -1, nullptr);
      std::size_t out = 0;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        const bool merges = i + 1 < ids.size() && ids[i] == left && ids[i + 1] == right;
        ids[out++] = merges ? merged : ids[i];
        i += merges;
      }
      ids.resize(out);
      add_pairs(w, +1, &merged);
    }
    apply_changes();
  }

  PreTokenizer pre_tokenizer_;
  std::unordered_map<std::string, std::uint64_t> word_counts_;
  std::vector<Word> words_;
  std::vector<std::string> symbols_;  // the bytes of each
  std::unordered_map<std::string, BpeId> id_of_;
  std::vector<std::pair<BpeId, BpeId>> merges_;
  std::unordered_map<std::uint64_t, Pair> pairs_;
  std::unordered_map<std::uint64_t, std::int64_t> changes_;
  std::priority_queue<Candidate> heap_;
};

}  // namespace demix::text
