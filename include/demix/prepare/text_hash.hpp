#pragma once
// What tells identical documents: 128 bits of their text.

#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace demix::prepare {

/// Two lanes of 64 bits. Texts that nobody made up to collide have the same hash if they are the same: among
/// a billion of them the chance of an error is about 10^-21.
struct TextHash {
  std::uint64_t a = 0, b = 0;
  auto operator<=>(const TextHash&) const = default;
};

/// Each lane is a bijection of its state by every eight bytes, followed by the last, padded ones and the
/// length.
inline TextHash text_hash(std::string_view text) {
  TextHash hash{0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u};
  const auto stir = [&](std::uint64_t word) {
    hash.a = (std::rotl(hash.a, 29) ^ word) * 0xbf58476d1ce4e5b9u;
    hash.b = (std::rotl(hash.b, 41) + word) * 0x94d049bb133111ebu;
    hash.a ^= hash.a >> 32;
    hash.b ^= hash.b >> 29;
  };
  std::string_view rest = text;
  for (; rest.size() >= 8; rest.remove_prefix(8)) {
    std::uint64_t word;
    std::memcpy(&word, rest.data(), 8);
    stir(word);
  }
  std::uint64_t last = 0;
  if (!rest.empty()) std::memcpy(&last, rest.data(), rest.size());
  stir(last);
  stir(text.size());
  stir(0);
  return hash;
}

}  // namespace demix::prepare
