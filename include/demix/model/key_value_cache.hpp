#pragma once
// What a model remembers of the tokens it has read, so that it can read on without reading them again.

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/matrix.hpp"
#include "demix/device/array.hpp"

namespace demix {

/// Keys and values of every block, for a number of sequences of up to `capacity` positions each.
template <device::Device D, class T>
class KeyValueCache {
 public:
  KeyValueCache(D& device, std::size_t blocks, std::size_t width, std::size_t capacity, std::size_t sequences)
      : device_(&device),
        width_(width),
        capacity_(capacity),
        lengths_(sequences, 0),
        device_lengths_(device),
        spare_(device) {
    const std::size_t size =
        checked_product("a cache of keys and values", sequences, capacity, width, std::size_t{2});
    for (std::size_t l = 0; l < blocks; ++l) keys_values_.emplace_back(device, size);
  }

  std::size_t sequences() const { return lengths_.size(); }
  std::size_t capacity() const { return capacity_; }
  /// Positions read so far, the conditioning's included, [sequences].
  std::span<const std::size_t> lengths() const { return lengths_; }
  bool empty() const {
    return std::all_of(lengths_.begin(), lengths_.end(), [](std::size_t n) { return n == 0; });
  }

  /// Sequence i becomes what sequences[i] was; sequences may be left out, repeated and reordered.
  void keep(std::span<const std::size_t> sequences) {
    std::vector<std::size_t> lengths;
    for (const std::size_t s : sequences) {
      require(s < lengths_.size(), "cache: sequence ", s, " of ", lengths_.size(), " was asked for");
      lengths.push_back(lengths_[s]);
    }
    const std::size_t size = capacity_ * 2 * width_;
    for (auto& block : keys_values_) {
      spare_.reserve(sequences.size() * size);
      for (std::size_t i = 0; i < sequences.size(); ++i)
        device_->copy(spare_.data() + i * size, block.data() + sequences[i] * size, lengths[i] * 2 * width_);
      std::swap(block, spare_);
    }
    lengths_ = std::move(lengths);
  }

  /// Forgets everything read.
  void clear() { std::fill(lengths_.begin(), lengths_.end(), 0); }

  // For the model:

  /// Block l's keys and values, [sequences capacity, 2 C].
  Matrix<T> keys_values(std::size_t l) { return keys_values_[l].matrix(sequences() * capacity_, 2 * width_); }
  /// lengths() on the device.
  const std::int32_t* device_lengths() {
    const std::vector<std::int32_t> lengths(lengths_.begin(), lengths_.end());
    device_lengths_.assign(lengths);
    return device_lengths_.data();
  }
  void advance(std::size_t sequence, std::size_t positions) { lengths_[sequence] += positions; }

 private:
  D* device_;
  std::size_t width_, capacity_;
  std::vector<std::size_t> lengths_;
  std::vector<device::Array<D, T>> keys_values_;  // per block
  device::Array<D, std::int32_t> device_lengths_;
  device::Array<D, T> spare_;
};

}  // namespace demix
