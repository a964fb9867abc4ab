#pragma once
// Encoding pieces of text with a byte-level BPE.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

#include "demix/text/bpe.hpp"

namespace demix::text {

/// Encodes pieces; remembers the encoding of recent short ones in a table of fixed size. One object serves
/// one thread.
class BytePairEncoder {
 public:
  /// `bpe` must outlive the encoder.
  explicit BytePairEncoder(const BytePairEncoding& bpe) : bpe_(bpe), cache_(cache_entries) {}

  /// Appends the ids of a piece: of all neighbours that merge, the pair of the lowest rank first, the
  /// leftmost of equal ones first. O(n log n) in the piece's length.
  void encode(std::string_view piece, std::vector<BpeId>& ids) {
    if (piece.size() > CacheEntry::most_bytes) return merge_all(piece, ids);
    CacheEntry& entry = cache_[hash(piece) % cache_entries];
    if (entry.length == piece.size() && std::memcmp(entry.bytes.data(), piece.data(), piece.size()) == 0) {
      ids.insert(ids.end(), entry.ids.begin(), entry.ids.begin() + entry.count);
      return;
    }
    const std::size_t first = ids.size();
    merge_all(piece, ids);
    const std::size_t count = ids.size() - first;
    if (count > CacheEntry::most_ids) return;
    entry.length = static_cast<std::uint8_t>(piece.size());
    entry.count = static_cast<std::uint8_t>(count);
    std::copy(piece.begin(), piece.end(), entry.bytes.begin());
    std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(first), count, entry.ids.begin());
  }

 private:
  /// One cache line.
  struct alignas(64) CacheEntry {
    static constexpr std::size_t most_bytes = 22, most_ids = 10;
    std::array<char, most_bytes> bytes;
    std::uint8_t length = 0, count = 0;
    std::array<BpeId, most_ids> ids;
  };
  static constexpr std::size_t cache_entries = std::size_t{1} << 16;

  static std::uint64_t hash(std::string_view piece) {
    std::uint64_t h = piece.size();
    const auto mix = [&h](std::uint64_t word) {
      h = (h ^ word) * 0x9E3779B97F4A7C15u;
      h ^= h >> 32;
    };
    while (piece.size() >= 8) {
      std::uint64_t word;
      std::memcpy(&word, piece.data(), 8);
      mix(word);
      piece.remove_prefix(8);
    }
    std::uint64_t rest = 0;
    std::memcpy(&rest, piece.data(), piece.size());
    mix(rest);
    return h;
  }

  /// A symbol in the list of those that the piece consists of so far.
  struct Node {
    BpeId id;
    std::int64_t previous, next;  // -1: none
    bool alive;
  };
  /// A pair that may merge, unless one of its two has merged otherwise since.
  struct Candidate {
    std::uint32_t rank;
    std::int64_t position;  // of the left one
    BpeId left, right, merged;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };

  void merge_all(std::string_view piece, std::vector<BpeId>& ids) {
    const auto n = static_cast<std::int64_t>(piece.size());
    nodes_.clear();
    for (std::int64_t i = 0; i < n; ++i)
      nodes_.push_back({bpe_.id_of_byte(static_cast<unsigned char>(piece[static_cast<std::size_t>(i)])),
                        i - 1, i + 1 < n ? i + 1 : -1, true});
    heap_.clear();
    for (std::int64_t i = 0; i + 1 < n; ++i) add_candidate(i);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>{});
      const Candidate best = heap_.back();
      heap_.pop_back();
      Node& left = node(best.position);
      if (!left.alive || left.id != best.left || left.next < 0 || node(left.next).id != best.right) continue;
      Node& right = node(left.next);
      right.alive = false;
      left.id = best.merged;
      left.next = right.next;
      if (left.next >= 0) {
        node(left.next).previous = best.position;
        add_candidate(best.position);
      }
      if (left.previous >= 0) add_candidate(left.previous);
    }
    for (std::int64_t i = n > 0 ? 0 : -1; i >= 0; i = node(i).next) ids.push_back(node(i).id);
  }

  Node& node(std::int64_t i) { return nodes_[static_cast<std::size_t>(i)]; }

  void add_candidate(std::int64_t position) {
    const BpeId left = node(position).id, right = node(node(position).next).id;
    const auto merge = bpe_.merge_of(left, right);
    if (!merge) return;
    heap_.push_back({merge->rank, position, left, right, merge->id});
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>{});
  }

  const BytePairEncoding& bpe_;
  std::vector<CacheEntry> cache_;
  std::vector<Node> nodes_;
  std::vector<Candidate> heap_;
};

}  // namespace demix::text
