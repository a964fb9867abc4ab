#pragma once
// The layout of fairseq's memory-mapped token files, PREFIX.bin and PREFIX.idx; docs/data.md has the table.

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "demix/core/error.hpp"

namespace demix::data::indexed_format {

inline constexpr std::array<char, 9> magic{'M', 'M', 'I', 'D', 'I', 'D', 'X', '\0', '\0'};
inline constexpr std::uint64_t version = 1;
inline constexpr std::size_t version_offset = 9, type_offset = 17, count_offset = 18, header_size = 26;
inline constexpr std::size_t index_bytes_per_document = sizeof(std::int32_t) + sizeof(std::int64_t);

/// The element types of a .bin file that hold tokens, by their code in the .idx file.
enum class ElementType : std::uint8_t { u8 = 1, i8 = 2, i16 = 3, i32 = 4, i64 = 5, u16 = 8 };

/// The type that fairseq chooses for a dictionary of this size.
inline ElementType type_for_vocabulary(std::size_t vocabulary_size) {
  return vocabulary_size < 65500 ? ElementType::u16 : ElementType::i32;
}

/// Calls f(T{}) with a value of the C++ type.
template <class F>
decltype(auto) with_type(ElementType type, F&& f) {
  switch (type) {
    case ElementType::u8:
      return f(std::uint8_t{});
    case ElementType::i8:
      return f(std::int8_t{});
    case ElementType::i16:
      return f(std::int16_t{});
    case ElementType::i32:
      return f(std::int32_t{});
    case ElementType::i64:
      return f(std::int64_t{});
    case ElementType::u16:
      break;
  }
  return f(std::uint16_t{});
}

/// Bytes of one token.
inline std::size_t width(ElementType type) {
  return with_type(type, [](auto element) { return sizeof(element); });
}

/// PREFIX + ".bin" or ".idx".
inline std::filesystem::path with_suffix(const std::filesystem::path& prefix, const char* suffix) {
  return prefix.string() + suffix;
}

}  // namespace demix::data::indexed_format
