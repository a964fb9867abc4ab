#pragma once
// A batch as the device holds it, uploaded in one piece.

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "demix/device/array.hpp"
#include "demix/device/staging.hpp"
#include "demix/model/batch.hpp"
#include "demix/ops/embedding.hpp"

namespace demix {

/// Tokens and targets, and for training the groups of equal tokens, the rows' numbers among those of all
/// ranks, and the segments whose losses are summed. All of it is 32-bit integers.
template <device::Device D>
class DeviceBatch {
 public:
  explicit DeviceBatch(D& device) : staging_(device), numbers_(device) {}

  /// Packs and uploads. Does not wait for the device: what it works on of the batch before is overwritten
  /// when it is done with that.
  void assign(const Batch& batch, bool training) {
    rows_ = batch.rows();
    segments_ = batch.segments.size();
    const std::size_t total = training ? 6 * rows_ + 1 + 3 * segments_ : 2 * rows_;
    // Room for as many segments as there can be, so that buffers do not grow from batch to batch.
    const std::size_t room = std::max(total, 6 * rows_ + 1 + 3 * batch.sequences());
    numbers_.reserve(room);
    staging_.upload(numbers_.data(), total, room, [&](std::span<std::int32_t> packed) {
      std::copy(batch.source.begin(), batch.source.end(), part(packed, 0).begin());
      std::copy(batch.target.begin(), batch.target.end(), part(packed, 1).begin());
      if (!training) return;
      pack_row_numbers(batch, part(packed, 2));
      groups_ = ops::group_tokens(batch.source, part(packed, 3), part(packed, 4),
                                  packed.subspan(5 * rows_, rows_ + 1));
      pack_segments(batch, packed.subspan(6 * rows_ + 1));
    });
  }

  const Token* source() const { return numbers_.data(); }
  const Token* target() const { return numbers_.data() + rows_; }

  // After a batch for training:
  const std::int32_t* row_numbers() const { return numbers_.data() + 2 * rows_; }
  ops::TokenGroups groups() const {
    return {groups_, numbers_.data() + 4 * rows_, numbers_.data() + 5 * rows_, numbers_.data() + 3 * rows_};
  }
  /// {domain, first row, last row} of each segment.
  const std::int32_t* segments() const { return numbers_.data() + 6 * rows_ + 1; }
  std::size_t segment_count() const { return segments_; }

 private:
  std::span<std::int32_t> part(std::span<std::int32_t> packed, std::size_t n) const {
    return packed.subspan(n * rows_, rows_);
  }

  static void pack_row_numbers(const Batch& batch, std::span<std::int32_t> numbers) {
    const std::size_t length = batch.sequence_length;
    for (const auto& segment : batch.segments)
      for (std::size_t r = segment.first * length; r < segment.last * length; ++r)
        numbers[r] = static_cast<std::int32_t>(r - segment.first * length + segment.first_of_all * length);
  }

  static void pack_segments(const Batch& batch, std::span<std::int32_t> packed) {
    std::size_t at = 0;
    for (const auto& segment : batch.segments) {
      packed[at++] = static_cast<std::int32_t>(segment.domain);
      packed[at++] = static_cast<std::int32_t>(segment.first * batch.sequence_length);
      packed[at++] = static_cast<std::int32_t>(segment.last * batch.sequence_length);
    }
  }

  device::Staging<D, std::int32_t> staging_;
  device::Array<D, std::int32_t> numbers_;
  std::size_t rows_ = 0, segments_ = 0, groups_ = 0;
};

}  // namespace demix
