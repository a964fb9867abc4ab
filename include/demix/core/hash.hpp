#pragma once
// A hash that is the same on every machine.

#include <cstdint>
#include <string_view>

namespace demix {

/// FNV-1a, 64 bits (Fowler, Noll, Vo), of `text`, or of what came before and `text`, when `hash` is its hash.
constexpr std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325u) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace demix
