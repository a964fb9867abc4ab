#pragma once
// A hash that is the same on every machine.

#include <cstdint>
#include <string>
#include <string_view>

namespace demix {

/// FNV-1a, 64 bits (Fowler, Noll, Vo), of `text`, or of what came before and `text`, when `hash` is its hash.
constexpr std::uint64_t fnv1a(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325u) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

/// A hash as 16 hexadecimal digits.
inline std::string hash_digits(std::uint64_t hash) {
  std::string digits(16, '0');
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit, hash >>= 4)
    *digit = "0123456789abcdef"[hash & 15];
  return digits;
}

}  // namespace demix
