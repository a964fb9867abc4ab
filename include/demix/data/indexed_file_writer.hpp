#pragma once
// Writing token files (PREFIX.bin and PREFIX.idx), byte for byte as fairseq does.

#include <algorithm>
#include <filesystem>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "demix/core/output_file.hpp"
#include "demix/core/types.hpp"
#include "demix/data/indexed_format.hpp"

namespace demix::data {

/// Streams documents to a pair of files. Memory does not grow with their number. The files get their names in
/// finish(), the .idx last; a process that dies before leaves only .*.partial files.
class TokenFileWriter {
 public:
  /// The element type is u16 for fewer than 65 500 symbols, else i32. Throws Error.
  TokenFileWriter(std::filesystem::path prefix, std::size_t vocabulary_size)
      : prefix_(std::move(prefix)),
        vocabulary_size_(vocabulary_size),
        type_(indexed_format::type_for_vocabulary(vocabulary_size)),
        bin_(indexed_format::with_suffix(prefix_, ".bin")),
        index_(indexed_format::with_suffix(prefix_, ".idx")) {
    index_.write(indexed_format::magic.data(), indexed_format::magic.size());
    write_value(index_, indexed_format::version);
    write_value(index_, static_cast<std::uint8_t>(type_));
    write_value(index_, std::uint64_t{0});  // the number of documents: finish() knows it
  }

  std::uint64_t documents() const { return documents_; }
  std::uint64_t tokens() const { return tokens_; }

  /// Appends a document. Throws Error for an id outside the vocabulary and when the disk is full.
  void add(std::span<const Token> document) {
    require(document.size() <= std::numeric_limits<std::int32_t>::max(), prefix_, ": document ", documents_,
            " has ", document.size(), " tokens; the format holds at most 2^31 - 1");
    for (const Token id : document)
      require(id >= 0 && static_cast<std::size_t>(id) < vocabulary_size_, prefix_, ": document ", documents_,
              " holds id ", id, ", outside the vocabulary of ", vocabulary_size_, " symbols");
    if (type_ == indexed_format::ElementType::u16) {
      narrow_.assign(document.begin(), document.end());
      bin_.write(narrow_.data(), narrow_.size() * sizeof(narrow_[0]));
    } else {
      bin_.write(document.data(), document.size_bytes());
    }
    write_value(index_, static_cast<std::int32_t>(document.size()));
    ++documents_;
    tokens_ += document.size();
  }

  /// Completes both files and gives them their names. Throws Error.
  void finish() {
    write_pointers();
    index_.overwrite(indexed_format::count_offset, &documents_, sizeof(documents_));
    std::filesystem::remove(indexed_format::with_suffix(prefix_, ".idx"));  // of an older pair
    bin_.commit();
    index_.commit();
  }

 private:
  template <class T>
  static void write_value(OutputFile& file, T value) {
    file.write(&value, sizeof(value));
  }

  /// Appends the byte offset of every document, from the sizes that were written before.
  void write_pointers() {
    constexpr std::size_t chunk = 4096;
    const std::size_t width = indexed_format::width(type_);
    std::vector<std::int32_t> sizes(chunk);
    std::vector<std::int64_t> pointers(chunk);
    std::int64_t pointer = 0;
    for (std::uint64_t begin = 0; begin < documents_; begin += chunk) {
      const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(chunk, documents_ - begin));
      index_.read_back(indexed_format::header_size + begin * sizeof(sizes[0]), sizes.data(),
                       n * sizeof(sizes[0]));
      for (std::size_t i = 0; i < n; ++i) {
        pointers[i] = pointer;
        pointer += static_cast<std::int64_t>(static_cast<std::size_t>(sizes[i]) * width);
      }
      index_.write(pointers.data(), n * sizeof(pointers[0]));
    }
  }

  std::filesystem::path prefix_;
  std::size_t vocabulary_size_;
  indexed_format::ElementType type_;
  OutputFile bin_, index_;
  std::vector<std::uint16_t> narrow_;
  std::uint64_t documents_ = 0, tokens_ = 0;
};

}  // namespace demix::data
