#pragma once
// White space as Python's str knows it (str.split, str.strip).

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace demix::prepare {

/// The bytes of the white space that begins at `i`: that of Unicode, and U+001C to U+001F. 0 where there is
/// none.
inline std::size_t white_space_length(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t j) { return j < text.size() ? static_cast<unsigned char>(text[j]) : 0u; };
  const unsigned a = byte(i), b = byte(i + 1), c = byte(i + 2);
  if (a < 0x80) return i < text.size() && (a == 0x20 || (a >= 0x09 && a <= 0x0d) || (a >= 0x1c && a <= 0x1f));
  if (a == 0xc2) return b == 0x85 || b == 0xa0 ? 2 : 0;
  const bool three =
      (a == 0xe1 && b == 0x9a && c == 0x80) ||
      (a == 0xe2 && b == 0x80 && ((c >= 0x80 && c <= 0x8a) || c == 0xa8 || c == 0xa9 || c == 0xaf)) ||
      (a == 0xe2 && b == 0x81 && c == 0x9f) || (a == 0xe3 && b == 0x80 && c == 0x80);
  return three ? 3 : 0;
}

/// The number of words between white space.
inline std::uint64_t count_words(std::string_view text) {
  std::uint64_t words = 0;
  bool in_word = false;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t space = white_space_length(text, i);
    words += space == 0 && !in_word;
    in_word = space == 0;
    i += space == 0 ? 1 : space;
  }
  return words;
}

/// `text` without the white space that it begins with.
inline std::string_view strip_left(std::string_view text) {
  while (const std::size_t length = white_space_length(text, 0)) text.remove_prefix(length);
  return text;
}

/// `text` without the white space that it ends with.
inline std::string_view strip_right(std::string_view text) {
  for (std::size_t length = 1; length <= 3 && length <= text.size();)
    if (white_space_length(text, text.size() - length) == length) {
      text.remove_suffix(length);
      length = 1;
    } else {
      ++length;
    }
  return text;
}

inline std::string_view strip(std::string_view text) { return strip_left(strip_right(text)); }

}  // namespace demix::prepare
