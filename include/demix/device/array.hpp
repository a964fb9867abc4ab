#pragma once
// Owned memory of a device.

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "demix/core/checked_size.hpp"
#include "demix/core/matrix.hpp"
#include "demix/device/concepts.hpp"

namespace demix::device {

/// An array of n elements on a device, which must outlive it. Contents are uninitialised until written.
template <Device D, class T>
class Array {
 public:
  explicit Array(D& device, std::size_t n = 0) : device_(&device) { reserve(n); }
  Array(Array&& other) noexcept
      : device_(other.device_),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Array& operator=(Array&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Array() {
    if (data_) device_->deallocate(data_, size_);
  }

  /// Makes room for n elements; the contents are lost when the array must grow.
  void reserve(std::size_t n) {
    if (n <= size_) return;
    if (data_) device_->deallocate(std::exchange(data_, nullptr), std::exchange(size_, 0));
    data_ = device_->template allocate<T>(n);
    size_ = n;
  }

  T* data() const { return data_; }
  std::size_t size() const { return size_; }

  /// The first rows * cols elements as a matrix, growing if need be.
  Matrix<T> matrix(std::size_t rows, std::size_t cols) {
    reserve(checked_product("a matrix", rows, cols));
    return {data_, rows, cols};
  }

  void fill_zero() { device_->fill_zero(data_, size_); }
  /// Copies the host's values to the front, growing if need be.
  void assign(std::span<const T> values) {
    reserve(values.size());
    device_->copy_to_device(data_, values.data(), values.size());
  }
  /// The first n elements on the host.
  std::vector<T> to_host(std::size_t n) const {
    std::vector<T> result(n);
    device_->copy_to_host(result.data(), data_, n);
    return result;
  }
  std::vector<T> to_host() const { return to_host(size_); }

 private:
  D* device_;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace demix::device
