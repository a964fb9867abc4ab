#pragma once
// How far a result may be from its reference, per type: the one table of the tests. Errors are relative to
// the largest magnitude of the reference (testing::relative_error).

namespace demix::testing {

template <class T>
struct Tolerance;

template <>
struct Tolerance<float> {
  /// A few roundings of 6e-8, and fast_exp or gauss_error with 3e-7 each.
  static constexpr double elementwise = 1e-6;
  /// Sums of up to some thousand terms of both signs: roundings add up like a random walk.
  static constexpr double reduction = 5e-6;
  /// Products of matrices with inner sizes up to a few hundred.
  static constexpr double gemm = 5e-6;
  /// A softmax between two GEMMs.
  static constexpr double attention = 1e-5;
  /// Two layers, forward: some ten of the above in a row.
  static constexpr double model_loss = 1e-5;
  /// The same and back.
  static constexpr double model_gradient = 5e-5;
};

template <>
struct Tolerance<double> {
  /// The functions of <cmath> and a few roundings of 1e-16.
  static constexpr double elementwise = 1e-14;
  /// Up to 40 000 terms of one sign, against a plain sum that is no better.
  static constexpr double reduction = 1e-12;
  static constexpr double gemm = 1e-13;
  static constexpr double attention = 1e-13;
  static constexpr double model_loss = 1e-12;
  static constexpr double model_gradient = 1e-11;
  /// Central differences with a step of 1e-5: h^2 times a third derivative, and 1e-16 / h of rounding.
  static constexpr double finite_difference = 1e-7;
};

/// Absolute errors of the float forms of core/math.hpp against <cmath>, as their docstrings promise them.
struct MathTolerance {
  static constexpr double fast_exp_relative = 3e-7;
  static constexpr double gauss_error = 6e-7;
  static constexpr double fast_tanh = 3e-7;
};

}  // namespace demix::testing
