#pragma once
// The tokens of one split: PREFIX.bin and PREFIX.idx, in the layout of the original data-bins.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/types.hpp"
#include "demix/data/mapped_file.hpp"

namespace demix::data {

/// The fixed part of an .idx file, little endian: magic, u64 version, u8 type of the tokens, u64 documents;
/// then int32 sizes[documents] in tokens and int64 pointers[documents] in bytes.
namespace index_format {
inline constexpr std::array<char, 9> magic{'M', 'M', 'I', 'D', 'I', 'D', 'X', 0, 0};
inline constexpr std::uint64_t version = 1;
inline constexpr std::size_t header_bytes = 9 + 8 + 1 + 8;
inline constexpr std::uint8_t code_u16 = 8, code_i32 = 4;

/// Bytes per token for an integer type's code, 0 for codes that hold no tokens.
constexpr std::size_t token_bytes(std::uint8_t code) {
  switch (code) {
    case 1:
    case 2:
      return 1;
    case 3:
    case 8:
      return 2;
    case 4:
      return 4;
    case 5:
      return 8;
    default:
      return 0;
  }
}

/// u16 for dictionaries of fewer than 65 500 symbols, else i32.
constexpr std::uint8_t code_for_vocabulary(std::size_t vocabulary) {
  return vocabulary < 65500 ? code_u16 : code_i32;
}
}  // namespace index_format

/// A split, read through memory maps as one stream of all its documents back to back. Reading is thread-safe.
class TokenFile {
 public:
  /// Validates the header and that sizes, pointers and both files agree. Throws Error that names the file,
  /// what was found and what was expected. `vocabulary` is the number of valid token ids.
  TokenFile(const std::filesystem::path& prefix, std::size_t vocabulary)
      : index_(prefix.string() + ".idx"), bin_(prefix.string() + ".bin"), vocabulary_(vocabulary) {
    using namespace index_format;
    require(index_.size() >= header_bytes, index_.path(), ": ", index_.size(),
            " bytes are too few for a header of ", header_bytes);
    std::array<char, 9> found_magic;
    index_.read(0, 9, found_magic.data());
    require(found_magic == magic, index_.path(),
            ": wrong magic bytes; not an .idx file of the memory-mapped layout");
    const auto found_version = value<std::uint64_t>(9);
    require(found_version == version, index_.path(), ": version ", found_version, ", expected ", version);
    code_ = value<std::uint8_t>(17);
    token_bytes_ = token_bytes(code_);
    require(token_bytes_ > 0, index_.path(), ": type code ", int{code_},
            " is not one of tokens (1, 2, 3, 4, 5 or 8)");
    const auto count = value<std::uint64_t>(18);
    require(count <= (index_.size() - header_bytes) / 12 && header_bytes + 12 * count == index_.size(),
            index_.path(), ": ", index_.size(), " bytes do not fit its count of ", count,
            " documents; the file is truncated or damaged");
    documents_ = static_cast<std::size_t>(count);
    check_documents();
    require(tokens_ * token_bytes_ == bin_.size(), bin_.path(), ": ", bin_.size(),
            " bytes, but its .idx tells of ", tokens_, " tokens of ", token_bytes_,
            " bytes; the file is truncated or damaged");
  }

  std::size_t documents() const { return documents_; }
  std::size_t tokens() const { return tokens_; }
  const std::string& path() const { return bin_.path(); }

  /// The tokens [first, first + count) of document i in the stream.
  struct Range {
    std::size_t first, count;
  };
  Range document(std::size_t i) const {
    require(i < documents_, index_.path(), ": document ", i, " of ", documents_);
    const auto size = value<std::int32_t>(sizes_at() + 4 * i);
    const auto pointer = value<std::int64_t>(sizes_at() + 4 * documents_ + 8 * i);
    return {static_cast<std::size_t>(pointer) / token_bytes_, static_cast<std::size_t>(size)};
  }

  /// Tokens [first, first + out.size()) of the stream. Throws Error past the end and at an id outside the
  /// vocabulary.
  void read(std::size_t first, std::span<Token> out) const {
    require(first <= tokens_ && out.size() <= tokens_ - first, bin_.path(), ": tokens [", first, ", ",
            first + out.size(), ") of ", tokens_);
    switch (code_) {
      case 1:
        return read_as<std::uint8_t>(first, out);
      case 2:
        return read_as<std::int8_t>(first, out);
      case 3:
        return read_as<std::int16_t>(first, out);
      case 4:
        return read_as<std::int32_t>(first, out);
      case 5:
        return read_as<std::int64_t>(first, out);
      default:
        return read_as<std::uint16_t>(first, out);
    }
  }

 private:
  static constexpr std::size_t sizes_at() { return index_format::header_bytes; }

  template <class U>
  U value(std::size_t offset) const {
    U result;
    index_.read(offset, sizeof(U), &result);
    return result;
  }

  template <class U>
  void read_as(std::size_t first, std::span<Token> out) const {
    std::array<U, 1024> piece;
    for (std::size_t at = 0; at < out.size(); at += piece.size()) {
      const std::size_t count = std::min(piece.size(), out.size() - at);
      bin_.read((first + at) * sizeof(U), count * sizeof(U), piece.data());
      for (std::size_t i = 0; i < count; ++i) {
        const auto id = static_cast<std::int64_t>(piece[i]);
        require(id >= 0 && static_cast<std::uint64_t>(id) < vocabulary_, bin_.path(), ": token ",
                first + at + i, " is ", id, ", outside the vocabulary of ", vocabulary_,
                "; the data was made with another dictionary, or is damaged");
        out[at + i] = static_cast<Token>(id);
      }
    }
  }

  /// Sizes are not negative and documents stand back to back, in order.
  void check_documents() {
    std::array<std::int32_t, 1024> sizes;
    std::array<std::int64_t, 1024> pointers;
    for (std::size_t at = 0; at < documents_; at += sizes.size()) {
      const std::size_t count = std::min(sizes.size(), documents_ - at);
      index_.read(sizes_at() + 4 * at, 4 * count, sizes.data());
      index_.read(sizes_at() + 4 * documents_ + 8 * at, 8 * count, pointers.data());
      for (std::size_t i = 0; i < count; ++i) {
        require(sizes[i] >= 0, index_.path(), ": document ", at + i, " has the size ", sizes[i]);
        require(pointers[i] >= 0 && static_cast<std::uint64_t>(pointers[i]) == tokens_ * token_bytes_,
                index_.path(), ": document ", at + i, " starts at byte ", pointers[i], ", expected ",
                tokens_ * token_bytes_, " (documents must stand back to back)");
        tokens_ += static_cast<std::size_t>(sizes[i]);
      }
    }
  }

  MappedFile index_, bin_;
  std::size_t vocabulary_, documents_ = 0, tokens_ = 0, token_bytes_ = 0;
  std::uint8_t code_ = 0;
};

}  // namespace demix::data
