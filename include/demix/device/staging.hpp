#pragma once
// Host memory that uploads start from, so that the host need not wait for them.

#include <cstddef>
#include <span>
#include <vector>

#include "demix/device/concepts.hpp"

namespace demix::device {

/// Blocks of page-locked memory. A block is used again once the device is past the upload that left from it;
/// while it is not, another is allocated: as many as uploads are on their way at one time.
template <Device D, class T>
class Staging {
 public:
  explicit Staging(D& device) : device_(&device) {}
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  ~Staging() {
    for (const auto& block : blocks_)
      if (block.data) device_->deallocate_host(block.data, block.size);
  }

  /// fill(span of n elements), which then travel to `to` in the order of submission, from a block with room
  /// for `room` elements, n at least. Does not wait for the device.
  template <class Fill>
  void upload(T* to, std::size_t n, std::size_t room, Fill fill) {
    if (n == 0) return;
    Block& block = free_block(room);
    fill(std::span<T>(block.data, n));
    device_->upload(to, block.data, n);
    device_->record(block.uploaded);
  }

 private:
  struct Block {
    typename D::Event uploaded;
    T* data = nullptr;
    std::size_t size = 0;
  };

  Block& free_block(std::size_t n) {
    for (auto& block : blocks_)
      if (block.size >= n && device_->done(block.uploaded)) return block;
    Block& block = blocks_.emplace_back(Block{typename D::Event(*device_)});
    block.data = device_->template allocate_host<T>(n);
    block.size = n;
    return block;
  }

  D* device_;
  std::vector<Block> blocks_;
};

}  // namespace demix::device
