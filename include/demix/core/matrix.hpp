#pragma once
// Views of memory that somebody else owns. They are passed by value and never allocate.

#include <cstddef>
#include <string>
#include <type_traits>

#include "demix/core/error.hpp"

namespace demix {

/// A row-major view [rows, cols] whose rows start `stride` elements apart. A vector is a view with one row.
template <class T>
struct Matrix {
  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t stride = 0;

  Matrix() = default;
  Matrix(T* data_, std::size_t rows_, std::size_t cols_) : Matrix(data_, rows_, cols_, cols_) {}
  Matrix(T* data_, std::size_t rows_, std::size_t cols_, std::size_t stride_)
      : data(data_), rows(rows_), cols(cols_), stride(stride_) {}
  /// A mutable view converts to a read-only one.
  template <class U>  // NOLINTNEXTLINE(google-explicit-constructor): a conversion that loses nothing
  requires(!std::is_same_v<U, T> && std::is_convertible_v<U*, T*>) Matrix(const Matrix<U>& other)
      : data(other.data), rows(other.rows), cols(other.cols), stride(other.stride) {}

  std::size_t size() const { return rows * cols; }
  bool contiguous() const { return stride == cols || rows <= 1; }
  T* row(std::size_t r) const { return data + r * stride; }
  /// Rows [first, last).
  Matrix slice_rows(std::size_t first, std::size_t last) const {
    return {row(first), last - first, cols, stride};
  }
  /// Columns [first, last).
  Matrix slice_cols(std::size_t first, std::size_t last) const {
    return {data + first, rows, last - first, stride};
  }
};

/// The shape of a matrix, written as [rows, cols].
struct Shape {
  std::size_t rows, cols;

  std::string string() const { return concat("[", rows, ", ", cols, "]"); }
};

template <class T>
Shape shape_of(const Matrix<T>& m) {
  return {m.rows, m.cols};
}

/// Throws Error with both shapes unless `m` is [rows, cols].
template <class T>
void require_shape(const char* what, const Matrix<T>& m, std::size_t rows, std::size_t cols) {
  require(m.rows == rows && m.cols == cols, what, " has shape ", shape_of(m), ", expected ",
          Shape{rows, cols});
}

}  // namespace demix
