#pragma once
// Reading token files (PREFIX.bin and PREFIX.idx).

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>

#include "demix/core/error.hpp"
#include "demix/core/hash.hpp"
#include "demix/core/input_file.hpp"
#include "demix/core/types.hpp"
#include "demix/data/indexed_format.hpp"

namespace demix::data {

/// The documents of a split, also as one stream of tokens, back to back. Memory does not grow with the files,
/// which stay open and must not change: one that is cut short is an Error when what is missing is read.
/// Threads may read at the same time.
class TokenFile {
 public:
  /// Where a document stands in the stream: tokens [first, last).
  struct Range {
    std::size_t first = 0, last = 0;
  };

  /// Opens PREFIX.bin and PREFIX.idx and checks every field and every document's place. O(documents). Throws
  /// Error for files that are damaged, cut short or of another kind, and for documents that do not lie back
  /// to back in order, which reading as a stream relies on.
  TokenFile(const std::filesystem::path& prefix, std::size_t vocabulary_size)
      : path_(indexed_format::with_suffix(prefix, ".bin")),
        index_(indexed_format::with_suffix(prefix, ".idx")),
        bin_(path_),
        index_size_(index_.size()),
        bin_size_(bin_.size()),
        vocabulary_size_(vocabulary_size) {
    read_header();
    check_documents();
  }

  /// Of the .bin file.
  const std::filesystem::path& path() const { return path_; }
  std::size_t tokens() const { return bin_size_ / width_; }
  std::size_t documents() const { return documents_; }

  /// Throws Error unless i < documents().
  Range document(std::size_t i) const {
    require(i < documents_, index_.name(), ": document ", i, " was asked for, there are ", documents_);
    const auto first = static_cast<std::size_t>(pointer_at(i)) / width_;
    return {first, first + static_cast<std::size_t>(size_at(i))};
  }

  /// Copies tokens [first, first + out.size()) of the stream. Throws Error when they reach past its end, and
  /// for an id outside [0, vocabulary size).
  void read(std::size_t first, std::span<Token> out) const {
    require(first <= tokens() && out.size() <= tokens() - first, bin_.name(), ": tokens [", first, ", ",
            first + out.size(), ") were asked for, there are ", tokens());
    indexed_format::with_type(type_, [&](auto element) {
      using Element = decltype(element);
      Element ids[chunk];
      for (std::size_t begin = 0; begin < out.size(); begin += chunk) {
        const std::size_t n = std::min(chunk, out.size() - begin);
        bin_.read((first + begin) * sizeof(Element), ids, n * sizeof(Element));
        bool all_valid = true;
        for (std::size_t i = 0; i < n; ++i) {
          // A negative id becomes a huge one.
          all_valid &= static_cast<std::uint64_t>(static_cast<std::int64_t>(ids[i])) < vocabulary_size_;
          // NOLINTNEXTLINE(bugprone-signed-char-misuse): an element of 8 bits is a number, no character
          out[begin + i] = static_cast<Token>(ids[i]);
        }
        if (!all_valid) fail_at_invalid_id(std::span<const Element>(ids, n), first + begin);
      }
    });
  }

  /// 16 hexadecimal digits that depend on the kind of elements, the length of every document, and the bytes
  /// of up to 64 blocks of 4 KiB, evenly over the .bin, its beginning and its end among them. O(documents).
  /// Throws Error.
  std::string sampled_hash() const {
    const std::uint8_t type = static_cast<std::uint8_t>(type_);
    std::uint64_t hash = fnv1a({reinterpret_cast<const char*>(&type), 1});
    std::string bytes;
    const auto add = [&](const InputFile& file, std::size_t offset, std::size_t length) {
      bytes.resize(length);
      file.read(offset, bytes.data(), length);
      hash = fnv1a(bytes, hash);
    };
    for (std::size_t begin = 0; begin < documents_; begin += chunk)
      add(index_, indexed_format::header_size + begin * sizeof(std::int32_t),
          std::min(chunk, documents_ - begin) * sizeof(std::int32_t));
    constexpr std::size_t blocks = 64, block_bytes = 4096;
    if (bin_size_ <= blocks * block_bytes) {
      add(bin_, 0, bin_size_);
    } else {
      const std::size_t last = bin_size_ - block_bytes;
      for (std::size_t b = 0; b < blocks; ++b)
        add(bin_, last / (blocks - 1) * b + last % (blocks - 1) * b / (blocks - 1), block_bytes);
    }
    return hash_digits(hash);
  }

 private:
  static constexpr std::size_t chunk = 4096;  // numbers that are read at a time

  template <class T>
  static T value_at(const InputFile& file, std::size_t offset) {
    T value;
    file.read(offset, &value, sizeof(T));
    return value;
  }

  std::int32_t size_at(std::size_t i) const {
    return value_at<std::int32_t>(index_, indexed_format::header_size + i * sizeof(std::int32_t));
  }
  std::int64_t pointer_at(std::size_t i) const {
    return value_at<std::int64_t>(
        index_, indexed_format::header_size + documents_ * sizeof(std::int32_t) + i * sizeof(std::int64_t));
  }

  void read_header() {
    namespace format = indexed_format;
    const std::string& name = index_.name();
    require(index_size_ >= format::header_size, name, ": ", index_size_, " bytes; its header alone has ",
            format::header_size, ". Was it cut short? Prepare the data again");
    require(value_at<std::array<char, format::magic.size()>>(index_, 0) == format::magic, name,
            ": does not begin with MMIDIDX: not the index of a token file (fairseq's 'mmap' kind)");
    const auto version = value_at<std::uint64_t>(index_, format::version_offset);
    require(version == format::version, name, ": version ", version, ", expected ", format::version);
    const int code = value_at<std::uint8_t>(index_, format::type_offset);
    require((code >= 1 && code <= 5) || code == 8, name, ": element type code ", code,
            ", expected that of an integer type (1 to 5, or 8)");
    type_ = static_cast<format::ElementType>(code);
    width_ = format::width(type_);
    const auto count = value_at<std::uint64_t>(index_, format::count_offset);
    const std::size_t room = index_size_ - format::header_size;
    require(
        count <= room / format::index_bytes_per_document && count * format::index_bytes_per_document == room,
        name, ": ", count, " documents need an index of ", format::header_size, " + ", count, " * ",
        format::index_bytes_per_document, " bytes, the file has ", index_size_,
        ". Was it cut short? Prepare the data again");
    documents_ = static_cast<std::size_t>(count);
    require(bin_size_ % width_ == 0, bin_.name(), ": ", bin_size_, " bytes are no whole number of tokens of ",
            width_, " bytes. Was it cut short? Prepare the data again");
  }

  /// Every document starts where the one before ends, the last one ends with the .bin file.
  void check_documents() const {
    const std::size_t pointers = indexed_format::header_size + documents_ * sizeof(std::int32_t);
    std::uint64_t expected = 0;
    for (std::size_t begin = 0; begin < documents_; begin += chunk) {
      const std::size_t n = std::min(chunk, documents_ - begin);
      std::int32_t sizes[chunk];
      std::int64_t starts[chunk];
      index_.read(indexed_format::header_size + begin * sizeof(sizes[0]), sizes, n * sizeof(sizes[0]));
      index_.read(pointers + begin * sizeof(starts[0]), starts, n * sizeof(starts[0]));
      for (std::size_t i = 0; i < n; ++i) {
        require(sizes[i] >= 0, index_.name(), ": document ", begin + i, " has ", sizes[i], " tokens");
        require(starts[i] >= 0 && static_cast<std::uint64_t>(starts[i]) == expected, index_.name(),
                ": document ", begin + i, " starts at byte ", starts[i], " of ", bin_.name(), ", expected ",
                expected, ": documents must lie back to back, in order");
        expected += static_cast<std::uint64_t>(sizes[i]) * width_;
        require(expected <= bin_size_, index_.name(), ": document ", begin + i, " ends at byte ", expected,
                " of ", bin_.name(), ", which has ", bin_size_, ". Was it cut short? Prepare the data again");
      }
    }
    require(expected == bin_size_, bin_.name(), ": ", bin_size_, " bytes; the documents of ", index_.name(),
            " end at byte ", expected);
  }

  template <class Element>
  void fail_at_invalid_id(std::span<const Element> ids, std::size_t first) const {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      // NOLINTNEXTLINE(bugprone-signed-char-misuse): likewise
      const auto value = static_cast<std::int64_t>(ids[i]);
      require(static_cast<std::uint64_t>(value) < vocabulary_size_, bin_.name(), ": token ", first + i,
              " is id ", value, ", outside the vocabulary of ", vocabulary_size_,
              " symbols: is this the dict.txt the data was prepared with?");
    }
  }

  std::filesystem::path path_;
  InputFile index_, bin_;
  std::size_t index_size_, bin_size_;  // when they were opened
  std::size_t vocabulary_size_;
  indexed_format::ElementType type_ = indexed_format::ElementType::u16;
  std::size_t width_ = 2;
  std::size_t documents_ = 0;
};

}  // namespace demix::data
