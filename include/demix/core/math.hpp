#pragma once
// Elementary functions that both devices share. The float forms are built from adds, fused multiplies and
// shifts without a branch, so that the loops of CPU row kernels vectorise; the double forms serve
// verification.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "demix/core/host_device.hpp"

namespace demix {

/// e^x with a relative error below 3e-7 for x in [-87, 88]; outside, the value at the nearer end; NaN for
/// NaN. Cody-Waite reduction by log 2, then the degree-5 Taylor-like polynomial of Cephes' expf.
DEMIX_HOST_DEVICE inline float fast_exp(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  // 1.5 * 2^23 rounds to whole numbers; the exponent's bias on top makes the low bits those of 2^n.
  constexpr float round_to_integer = 12582912.0f + 127.0f;
  const float shifted = std::fma(x, 1.44269504f, round_to_integer);
  const float n = shifted - round_to_integer;
  const float f = std::fma(n, 2.12194440e-4f, std::fma(n, -0.693359375f, x));
  float p = 1.9875691500e-4f;
  p = std::fma(p, f, 1.3981999507e-3f);
  p = std::fma(p, f, 8.3334519073e-3f);
  p = std::fma(p, f, 4.1665795894e-2f);
  p = std::fma(p, f, 1.6666665459e-1f);
  p = std::fma(p, f, 5.0000001201e-1f);
  p = std::fma(p * f, f, f + 1.0f);
  std::uint32_t bits;
  std::memcpy(&bits, &shifted, 4);
  bits <<= 23;
  float power;  // 2^n
  std::memcpy(&power, &bits, 4);
  return p * power;
}
DEMIX_HOST_DEVICE inline double fast_exp(double x) { return std::exp(x); }

/// e^(-x^2) and erf(x) together: the activations need both, and one exponential serves both.
template <class T>
struct GaussError {
  T erf;
  T exp_minus_square;
};

/// |error| < 6e-7, of which the formula's is 1.5e-7; Abramowitz and Stegun, Handbook of Mathematical
/// Functions, 7.1.26.
DEMIX_HOST_DEVICE inline GaussError<float> gauss_error(float x) {
  const float magnitude = std::fabs(x);
  const float t = 1.0f / std::fma(0.3275911f, magnitude, 1.0f);
  float p = 1.061405429f;
  p = std::fma(p, t, -1.453152027f);
  p = std::fma(p, t, 1.421413741f);
  p = std::fma(p, t, -0.284496736f);
  p = std::fma(p, t, 0.254829592f);
  const float e = fast_exp(-x * x);
  return {std::copysign(std::fma(-p * t, e, 1.0f), x), e};
}
DEMIX_HOST_DEVICE inline GaussError<double> gauss_error(double x) { return {std::erf(x), std::exp(-x * x)}; }

/// tanh(x) = 1 - 2 / (e^2x + 1), with an absolute error below 3e-7.
template <class T>
DEMIX_HOST_DEVICE inline T fast_tanh(T x) {
  return T(1) - T(2) / (fast_exp(T(2) * x) + T(1));
}

/// ceil(a / b) for counts.
template <class T>
DEMIX_HOST_DEVICE constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

}  // namespace demix
