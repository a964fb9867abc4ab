#pragma once
// A split cut into blocks (fairseq's --sample-break-mode none).

#include <algorithm>
#include <span>
#include <utility>

#include "demix/data/indexed_file.hpp"
#include "demix/data/layout.hpp"

namespace demix::data {

/// The stream of all documents, cut into blocks of T tokens, the last one shorter. A block is the target; its
/// source is the same stream one token earlier, with eos_token before the very first token of the split.
class BlockDataset {
 public:
  /// Throws Error for a split without tokens and for block_length 0.
  BlockDataset(TokenFile file, std::size_t block_length)
      : file_(std::move(file)), block_length_(block_length) {
    require(block_length > 0, file_.path(), ": blocks of 0 tokens were asked for");
    require(file_.tokens() > 0, file_.path(), ": the split is empty");
  }

  std::size_t block_length() const { return block_length_; }
  std::size_t tokens() const { return file_.tokens(); }
  std::size_t blocks() const { return (tokens() + block_length_ - 1) / block_length_; }
  const TokenFile& file() const { return file_; }

  /// Overwrites `source` and `target`, both [T], with block `block`; pad_token stands in both behind the
  /// stream's end, and nowhere else. Throws Error for a block that is not there, other lengths, ids outside
  /// the vocabulary, and padding inside the text.
  void fill(std::size_t block, std::span<Token> source, std::span<Token> target) const {
    require(block < blocks(), file_.path(), ": block ", block, " was asked for, there are ", blocks());
    require(source.size() == block_length_ && target.size() == block_length_, "source and target have ",
            source.size(), " and ", target.size(), " tokens, expected ", block_length_);
    const std::size_t first = block * block_length_;
    const std::size_t length = std::min(block_length_, tokens() - first);
    file_.read(first, target.first(length));
    if (first == 0)
      source[0] = eos_token;
    else
      file_.read(first - 1, source.first(1));
    require_no_padding(first - (first > 0), source.first(1));
    require_no_padding(first, target.first(length));
    std::copy_n(target.begin(), length - 1, source.begin() + 1);
    std::fill(source.begin() + static_cast<std::ptrdiff_t>(length), source.end(), pad_token);
    std::fill(target.begin() + static_cast<std::ptrdiff_t>(length), target.end(), pad_token);
  }

 private:
  /// Of tokens [first, first + tokens.size()) of the stream.
  void require_no_padding(std::size_t first, std::span<const Token> tokens) const {
    const auto padding = std::find(tokens.begin(), tokens.end(), pad_token);
    require(padding == tokens.end(), file_.path(), ": token ",
            first + static_cast<std::size_t>(padding - tokens.begin()), " is id ", pad_token,
            ", <pad>, which no text holds: was this data-bin written for another order of "
            "reserved symbols? Prepare the data again");
  }

  TokenFile file_;
  std::size_t block_length_;
};

/// A domain's split of a data-bin in blocks. Throws Error for a split that is missing, damaged or empty.
inline BlockDataset open_split(const std::filesystem::path& data_bin, const std::string& domain,
                               const std::string& split, std::size_t vocabulary, std::size_t block_length) {
  return BlockDataset(TokenFile(split_prefix(data_bin, domain, split), vocabulary), block_length);
}

}  // namespace demix::data
