#pragma once
// The distributions that parameters start with, by bounds and moments.

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "testing.hpp"

namespace demix::testing {

/// Mean, deviation and kurtosis (1.8: uniform, 3: normal) of `values`, each within five standard errors.
template <class T>
void check_moments(const std::string& name, std::span<T> values, double deviation, double kurtosis) {
  const double n = static_cast<double>(values.size());
  double mean = 0, second = 0, fourth = 0;
  for (const auto v : values) mean += static_cast<double>(v) / n;
  for (const auto v : values) {
    const double square = (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
    second += square / n;
    fourth += square * square / n;
  }
  // Of the fourth moment in deviations^4, whose variance takes the eighth: 9 of a uniform, 105 of a normal.
  const double eighth = kurtosis < 2 ? 9 : 105;
  const auto error = [n](double variance) { return 5 * std::sqrt(variance / n); };
  BOOST_TEST_CONTEXT(name) {
    BOOST_TEST(std::fabs(mean) < deviation * error(1));
    BOOST_TEST(std::fabs(second / (deviation * deviation) - 1) < error(kurtosis - 1));
    BOOST_TEST(std::fabs(fourth / std::pow(deviation, 4) - kurtosis) < error(eighth - kurtosis * kurtosis));
  }
}

/// Uniform in +-bound: no value is outside, and some are near both ends.
template <class T>
void check_uniform(const std::string& name, std::span<T> values, double bound) {
  check_moments(name, values, bound / std::sqrt(3.0), 1.8);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double near = bound * (1 - 20 / static_cast<double>(values.size()));
  BOOST_TEST_CONTEXT(name) {
    BOOST_TEST(static_cast<double>(*high) <= bound * (1 + 1e-6));
    BOOST_TEST(static_cast<double>(*low) >= -bound * (1 + 1e-6));
    BOOST_TEST(static_cast<double>(*high) > near);
    BOOST_TEST(static_cast<double>(*low) < -near);
  }
}

template <class T>
void check_constant(const std::string& name, std::span<T> values, double value) {
  BOOST_TEST(std::all_of(values.begin(), values.end(), [&](T v) { return static_cast<double>(v) == value; }),
             name);
}

}  // namespace demix::testing
