#pragma once
// What the numeric tests share: reproducible numbers, comparison, finite differences.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "demix/core/matrix.hpp"
#include "demix/core/philox.hpp"
#include "demix/device/cpu.hpp"
#include "tolerances.hpp"

namespace demix::testing {

/// n numbers in (-1, 1) that only depend on `seed`.
inline std::vector<double> random_values(std::size_t n, std::uint64_t seed) {
  std::vector<double> values(n);
  for (std::size_t i = 0; i < n; ++i)
    values[i] = 2.0 * static_cast<double>(
                          uniform_unit(philox(Seed{seed}, static_cast<std::uint32_t>(i), 0, 0, 0).word[0])) -
                1;
  return values;
}

template <class T, class U>
std::vector<T> cast(const std::vector<U>& values) {
  std::vector<T> result(values.size());
  std::transform(values.begin(), values.end(), result.begin(), [](U v) { return static_cast<T>(v); });
  return result;
}

/// A matrix with memory of its own: on the CPU device, memory is the host's.
template <class T>
struct Owned {
  std::size_t rows, cols;
  std::vector<T> values;

  Owned(std::size_t rows_, std::size_t cols_, T fill = T(0))
      : rows(rows_), cols(cols_), values(rows_ * cols_, fill) {}
  template <class U>
  Owned(std::size_t rows_, std::size_t cols_, const std::vector<U>& from)
      : rows(rows_), cols(cols_), values(cast<T>(from)) {}

  Matrix<T> view() { return {values.data(), rows, cols}; }
  Matrix<const T> view() const { return {values.data(), rows, cols}; }
  T& operator()(std::size_t r, std::size_t c) { return values[r * cols + c]; }
  T operator()(std::size_t r, std::size_t c) const { return values[r * cols + c]; }
};

template <class T>
Owned<T> random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  return Owned<T>(rows, cols, random_values(rows * cols, seed));
}

/// max |a - b| / max(|b|, floor); infinite when the sizes differ or a difference is not finite.
template <class A, class B>
double relative_error(const std::vector<A>& a, const std::vector<B>& b, double floor = 0) {
  if (a.size() != b.size()) return INFINITY;
  double error = 0, scale = floor;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!std::isfinite(difference)) return INFINITY;
    error = std::max(error, difference);
    scale = std::max(scale, std::fabs(static_cast<double>(b[i])));
  }
  return error == 0 ? 0 : error / scale;
}

/// The gradient of loss() by every element of x, by central differences with step h. x is put back.
template <class Loss>
std::vector<double> finite_differences(std::vector<double>& x, Loss loss, double h = 1e-5) {
  std::vector<double> gradient(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double saved = x[i];
    x[i] = saved + h;
    const double above = loss();
    x[i] = saved - h;
    const double below = loss();
    x[i] = saved;
    gradient[i] = (above - below) / (2 * h);
  }
  return gradient;
}

/// sum of weights[i] y[i]: a scalar loss whose gradient by y is `weights`.
inline double weighted_sum(const std::vector<double>& y, const std::vector<double>& weights) {
  double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * weights[i];
  return sum;
}

/// Sets OpenMP's number of threads and puts it back.
class Threads {
 public:
  explicit Threads(int n) : saved_(omp_get_max_threads()) { omp_set_num_threads(n); }
  ~Threads() { omp_set_num_threads(saved_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int saved_;
};

}  // namespace demix::testing

/// Fails, with the error, unless a is within `tolerance` of b.
#define DEMIX_CHECK_CLOSE(a, b, tolerance)                 \
  BOOST_TEST(                                              \
      demix::testing::relative_error(a, b) <= (tolerance), \
      #a " differs from " #b " by " << demix::testing::relative_error(a, b) << ", allowed " << (tolerance))
