#pragma once
// Reading token files (PREFIX.bin and PREFIX.idx) through a memory map.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>

#include "demix/core/error.hpp"
#include "demix/core/types.hpp"
#include "demix/data/indexed_format.hpp"
#include "demix/data/mapped_file.hpp"

namespace demix::data {

/// The documents of a split, also as one stream of tokens, back to back. Resident memory does not grow with
/// the files. Threads may read at the same time.
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
      : index_(indexed_format::with_suffix(prefix, ".idx")),
        bin_(indexed_format::with_suffix(prefix, ".bin")),
        vocabulary_size_(vocabulary_size) {
    read_header();
    check_documents();
  }

  const std::filesystem::path& path() const { return bin_.path(); }
  std::size_t tokens() const { return bin_.size() / width_; }
  std::size_t documents() const { return documents_; }

  /// Throws Error unless i < documents().
  Range document(std::size_t i) const {
    require(i < documents_, index_.path().string(), ": document ", i, " was asked for, there are ",
            documents_);
    const auto first = static_cast<std::size_t>(pointer_at(i)) / width_;
    return {first, first + static_cast<std::size_t>(size_at(i))};
  }

  /// Copies tokens [first, first + out.size()) of the stream. Throws Error when they reach past its end, and
  /// for an id outside [0, vocabulary size).
  void read(std::size_t first, std::span<Token> out) const {
    require(first <= tokens() && out.size() <= tokens() - first, path().string(), ": tokens [", first, ", ",
            first + out.size(), ") were asked for, there are ", tokens());
    const std::byte* bytes = bin_.read(first * width_, out.size() * width_);
    indexed_format::with_type(type_, [&](auto element) {
      using Element = decltype(element);
      bool all_valid = true;
      for (std::size_t i = 0; i < out.size(); ++i) {
        Element id;
        std::memcpy(&id, bytes + i * sizeof(Element), sizeof(Element));
        // A negative id becomes a huge one.
        all_valid &= static_cast<std::uint64_t>(static_cast<std::int64_t>(id)) < vocabulary_size_;
        out[i] = static_cast<Token>(id);
      }
      if (!all_valid) fail_at_invalid_id<Element>(bytes, first, out.size());
    });
  }

 private:
  template <class T>
  static T value_at(const MappedFile& file, std::size_t offset) {
    T value;
    std::memcpy(&value, file.read(offset, sizeof(T)), sizeof(T));
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
    const std::string name = index_.path().string();
    require(index_.size() >= format::header_size, name, ": ", index_.size(), " bytes; its header alone has ",
            format::header_size, ". Was it cut short? Prepare the data again");
    require(
        std::memcmp(index_.read(0, format::magic.size()), format::magic.data(), format::magic.size()) == 0,
        name, ": does not begin with MMIDIDX: not the index of a token file (fairseq's 'mmap' kind)");
    const auto version = value_at<std::uint64_t>(index_, format::version_offset);
    require(version == format::version, name, ": version ", version, ", expected ", format::version);
    const int code = value_at<std::uint8_t>(index_, format::type_offset);
    require((code >= 1 && code <= 5) || code == 8, name, ": element type code ", code,
            ", expected that of an integer type (1 to 5, or 8)");
    type_ = static_cast<format::ElementType>(code);
    width_ = format::width(type_);
    const auto count = value_at<std::uint64_t>(index_, format::count_offset);
    const std::size_t room = index_.size() - format::header_size;
    require(
        count <= room / format::index_bytes_per_document && count * format::index_bytes_per_document == room,
        name, ": ", count, " documents need an index of ", format::header_size, " + ", count, " * ",
        format::index_bytes_per_document, " bytes, the file has ", index_.size(),
        ". Was it cut short? Prepare the data again");
    documents_ = static_cast<std::size_t>(count);
    require(bin_.size() % width_ == 0, bin_.path().string(), ": ", bin_.size(),
            " bytes are no whole number of tokens of ", width_,
            " bytes. Was it cut short? Prepare the data again");
  }

  /// Every document starts where the one before ends, the last one ends with the .bin file.
  void check_documents() const {
    constexpr std::size_t chunk = 4096;
    const std::size_t pointers = indexed_format::header_size + documents_ * sizeof(std::int32_t);
    std::uint64_t expected = 0;
    for (std::size_t begin = 0; begin < documents_; begin += chunk) {
      const std::size_t n = std::min(chunk, documents_ - begin);
      std::int32_t sizes[chunk];
      std::int64_t starts[chunk];
      std::memcpy(sizes,
                  index_.read(indexed_format::header_size + begin * sizeof(sizes[0]), n * sizeof(sizes[0])),
                  n * sizeof(sizes[0]));
      std::memcpy(starts, index_.read(pointers + begin * sizeof(starts[0]), n * sizeof(starts[0])),
                  n * sizeof(starts[0]));
      for (std::size_t i = 0; i < n; ++i) {
        require(sizes[i] >= 0, index_.path().string(), ": document ", begin + i, " has ", sizes[i],
                " tokens");
        require(starts[i] >= 0 && static_cast<std::uint64_t>(starts[i]) == expected, index_.path().string(),
                ": document ", begin + i, " starts at byte ", starts[i], " of ", bin_.path().string(),
                ", expected ", expected, ": documents must lie back to back, in order");
        expected += static_cast<std::uint64_t>(sizes[i]) * width_;
        require(expected <= bin_.size(), index_.path().string(), ": document ", begin + i, " ends at byte ",
                expected, " of ", bin_.path().string(), ", which has ", bin_.size(),
                ". Was it cut short? Prepare the data again");
      }
    }
    require(expected == bin_.size(), bin_.path().string(), ": ", bin_.size(), " bytes; the documents of ",
            index_.path().string(), " end at byte ", expected);
  }

  template <class Element>
  void fail_at_invalid_id(const std::byte* bytes, std::size_t first, std::size_t n) const {
    for (std::size_t i = 0; i < n; ++i) {
      Element id;
      std::memcpy(&id, bytes + i * sizeof(Element), sizeof(Element));
      const auto value = static_cast<std::int64_t>(id);
      require(static_cast<std::uint64_t>(value) < vocabulary_size_, path().string(), ": token ", first + i,
              " is id ", value, ", outside the vocabulary of ", vocabulary_size_,
              " symbols: is this the dict.txt the data was prepared with?");
    }
  }

  MappedFile index_, bin_;
  std::size_t vocabulary_size_;
  indexed_format::ElementType type_ = indexed_format::ElementType::u16;
  std::size_t width_ = 2;
  std::size_t documents_ = 0;
};

}  // namespace demix::data
