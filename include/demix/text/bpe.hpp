#pragma once
// Byte-level BPE (Sennrich et al. 2016, over bytes as in Radford et al. 2019): the tables of a vocabulary.

#include <array>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/text/byte_alphabet.hpp"
#include "demix/text/tokenizer_json.hpp"

namespace demix::text {

/// The id of a BPE symbol in its vocabulary file. dict.txt maps it to a model id (Token).
using BpeId = std::uint32_t;

/// Symbols and merges of a byte-level BPE. Immutable: threads share one.
class BytePairEncoding {
 public:
  /// What two neighbours merge into. A lower rank merges first.
  struct Merge {
    std::uint32_t rank;
    BpeId id;
    bool operator==(const Merge&) const = default;
  };

  /// Reads GPT-2's encoder.json and vocab.bpe, or Hugging Face's vocab.json and merges.txt, which have the
  /// same forms, or, without `vocab_bpe`, its tokenizer.json, which holds both. Throws Error, with file and
  /// line, for other forms, a missing byte, or a merge whose parts or result are no symbols.
  static BytePairEncoding load(const std::filesystem::path& encoder_json,
                               const std::filesystem::path& vocab_bpe) {
    BytePairEncoding result;
    if (vocab_bpe.empty()) {
      const auto tokenizer = read_tokenizer_json(encoder_json);
      const auto ids = result.take_symbols(tokenizer.vocab, encoder_json);
      MergeList merges{ids, encoder_json, {}};
      for (const auto& [left, right] : tokenizer.merges)
        merges.add(left, right, encoder_json.string(), ": merge ", merges.slots.size() + 1);
      result.index_merges(merges.slots, encoder_json);
    } else {
      const auto ids = result.read_symbols(encoder_json);
      result.read_merges(vocab_bpe, ids, encoder_json);
    }
    return result;
  }

  bool operator==(const BytePairEncoding&) const = default;

  /// One more than the largest id.
  std::size_t size() const { return bytes_.size(); }

  /// The bytes that a symbol stands for; empty for an id that the vocabulary does not use.
  const std::string& bytes(BpeId id) const { return bytes_.at(id); }

  BpeId id_of_byte(unsigned char byte) const { return byte_ids_[byte]; }

  /// The pairs that merge, in the order of their ranks.
  std::vector<std::pair<BpeId, BpeId>> merges() const {
    std::vector<std::pair<BpeId, BpeId>> result(slots_.size());
    std::size_t count = 0;
    for (const Slot& slot : slots_) {
      if (slot.key == no_key) continue;
      result[slot.merge.rank] = {static_cast<BpeId>(slot.key >> 32), static_cast<BpeId>(slot.key)};
      ++count;
    }
    result.resize(count);
    return result;
  }

  std::optional<Merge> merge_of(BpeId left, BpeId right) const {
    const std::uint64_t key = pair_key(left, right);
    for (std::size_t at = slot(key);; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) return slots_[at].merge;
      if (slots_[at].key == no_key) return std::nullopt;
    }
  }

 private:
  struct Slot {
    std::uint64_t key;
    Merge merge;
    bool operator==(const Slot&) const = default;
  };
  static constexpr std::uint64_t no_key = ~std::uint64_t{0};
  static constexpr BpeId largest_id = (1u << 24) - 1;

  static std::uint64_t pair_key(BpeId left, BpeId right) { return std::uint64_t{left} << 32 | right; }

  std::size_t slot(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15u) >> shift_);
  }

  using Ids = std::unordered_map<std::string, BpeId>;  // by spelling

  /// Merges in the order of their ranks, for the hash table.
  struct MergeList {
    const Ids& ids;
    const std::filesystem::path& encoder_json;
    std::vector<Slot> slots;

    /// `where` are parts of a message.
    template <class... Where>
    void add(const std::string& left, const std::string& right, const Where&... where) {
      const auto id_of = [&](const std::string& symbol) {
        const auto found = ids.find(symbol);
        require(found != ids.end(), where..., ": '", symbol, "' is no symbol of ", encoder_json,
                ": the two do not belong together");
        return found->second;
      };
      const Merge merge{static_cast<std::uint32_t>(slots.size()), id_of(left + right)};
      slots.push_back({pair_key(id_of(left), id_of(right)), merge});
    }
  };

  Ids read_symbols(const std::filesystem::path& path) {
    std::ifstream in(path);
    require(in.good(), "cannot open '", path, "'");
    const auto json = nlohmann::json::parse(in, nullptr, false);
    require(json.is_object(), path, ": not a JSON object of symbols and their ids");
    require(!is_tokenizer_json(json), path,
            ": a tokenizer.json, which holds the merges too; give it without another file of merges");
    return take_symbols(json, path);
  }

  Ids take_symbols(const nlohmann::json& json, const std::filesystem::path& path) {
    const ByteAlphabet alphabet;
    Ids ids;
    for (const auto& [symbol, value] : json.items()) {
      require(
          value.is_number_unsigned() && value.get<std::uint64_t>() <= largest_id, path, ": the id of '",
          symbol, "' is ", [&value = value] { return value.is_number() ? value.dump() : value.type_name(); },
          ", expected a number from 0 to ", largest_id);
      const auto id = value.get<BpeId>();
      if (id >= bytes_.size()) bytes_.resize(id + 1);
      require(bytes_[id].empty(), path, ": id ", id, " occurs twice, once for '", symbol, "'");
      bytes_[id] = alphabet.unspell(symbol);
      ids.emplace(symbol, id);
    }
    for (unsigned byte = 0; byte < 256; ++byte) {
      const auto found = ids.find(alphabet.spelling(static_cast<unsigned char>(byte)));
      require(found != ids.end(), path, ": no symbol for byte ", byte, " (it would be spelled '",
              alphabet.spelling(static_cast<unsigned char>(byte)), "'): not a byte-level BPE vocabulary");
      byte_ids_[byte] = found->second;
    }
    return ids;
  }

  void read_merges(const std::filesystem::path& path, const Ids& ids,
                   const std::filesystem::path& encoder_json) {
    std::ifstream in(path);
    require(in.good(), "cannot open '", path, "'");
    MergeList merges{ids, encoder_json, {}};
    std::size_t line_number = 0;
    for (std::string line; std::getline(in, line);) {
      ++line_number;
      if (line_number == 1 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
      line.resize(line.find_last_not_of(" \t\r") + 1);
      if (line.empty() || (line_number == 1 && line.starts_with("#version"))) continue;
      const std::size_t space = line.find(' ');
      require(space != std::string::npos && line.find(' ', space + 1) == std::string::npos, path, ":",
              line_number, ": expected two symbols and a space between, found '", line, "'");
      merges.add(line.substr(0, space), line.substr(space + 1), path.string(), ":", line_number);
    }
    require(!in.bad(), "cannot read '", path, "' after line ", line_number);
    index_merges(merges.slots, path);
  }

  void index_merges(const std::vector<Slot>& merges, const std::filesystem::path& path) {
    const std::size_t capacity = std::bit_ceil(2 * merges.size() + 2);
    shift_ = 65 - static_cast<int>(std::bit_width(capacity));
    slots_.assign(capacity, {no_key, {}});
    for (const Slot& merge : merges) {
      std::size_t at = slot(merge.key);
      while (slots_[at].key != no_key && slots_[at].key != merge.key) at = (at + 1) & (capacity - 1);
      require(slots_[at].key == no_key, path, ": merge ", merge.merge.rank + 1, " occurs twice");
      slots_[at] = merge;
    }
  }

  std::vector<std::string> bytes_;
  std::array<BpeId, 256> byte_ids_{};
  std::vector<Slot> slots_;  // an open-addressing hash table
  int shift_ = 0;
};

}  // namespace demix::text
