#pragma once
// The activations of the feed-forward layer, fused with the bias that precedes them.

#include <algorithm>
#include <concepts>
#include <string>
#include <vector>

#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/names.hpp"
#include "demix/core/precision.hpp"
#include "demix/ops/linear.hpp"

namespace demix::ops {

/// An activation: its value and its derivative at a pre-activation, on both devices, and its name.
template <class A>
concept Activation = requires(float x, double z) {
  { A::name } -> std::convertible_to<const char*>;
  { A::value(x) } -> std::same_as<float>;
  { A::derivative(x) } -> std::same_as<float>;
  { A::value(z) } -> std::same_as<double>;
  { A::derivative(z) } -> std::same_as<double>;
};

struct Relu {
  static constexpr const char* name = "relu";
  template <class T>
  DEMIX_HOST_DEVICE static T value(T x) {
    return x < T(0) ? T(0) : x;  // NaN stays NaN
  }
  template <class T>
  DEMIX_HOST_DEVICE static T derivative(T x) {
    return x > T(0) ? T(1) : T(0);
  }
};

/// x Phi(x), Phi the normal distribution function by erf (Hendrycks and Gimpel 2016).
struct Gelu {
  static constexpr const char* name = "gelu";
  template <class T>
  DEMIX_HOST_DEVICE static T value(T x) {
    return T(0.5) * x * (T(1) + gauss_error(x * T(0.70710678118654752)).erf);
  }
  /// Phi(x) + x phi(x).
  template <class T>
  DEMIX_HOST_DEVICE static T derivative(T x) {
    const auto g = gauss_error(x * T(0.70710678118654752));
    return T(0.5) * (T(1) + g.erf) + x * T(0.39894228040143268) * g.exp_minus_square;
  }
};

/// The tanh approximation of gelu: x/2 (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3).
struct GeluTanh {
  static constexpr const char* name = "gelu_tanh";
  template <class T>
  DEMIX_HOST_DEVICE static T value(T x) {
    return T(0.5) * x * (T(1) + fast_tanh(inner(x)));
  }
  template <class T>
  DEMIX_HOST_DEVICE static T derivative(T x) {
    const T t = fast_tanh(inner(x));
    const T slope = T(0.79788456080286536) * (T(1) + T(3 * 0.044715) * x * x);
    return T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * slope;
  }

 private:
  template <class T>
  DEMIX_HOST_DEVICE static T inner(T x) {
    return T(0.79788456080286536) * (x + T(0.044715) * x * x * x);
  }
};

static_assert(Activation<Relu> && Activation<Gelu> && Activation<GeluTanh>);

/// Activations of which a model's configuration names one, when the program runs.
template <Activation... A>
struct ActivationList {};

/// Those that the library has.
using Activations = ActivationList<Relu, Gelu, GeluTanh>;

/// The activation of a layer whose policy has the parameter A: A itself, or of a list the one of a name.
template <class A>
class ActivationChoice;

template <Activation A>
class ActivationChoice<A> {
 public:
  static std::vector<std::string> names() { return {A::name}; }

  /// Throws UsageError for another name; the empty one is A's.
  explicit ActivationChoice(const std::string& name) {
    if (!name.empty()) require_one_of("activation", name, names());
  }

  std::string name() const { return A::name; }
  /// f.operator()<A>() with the activation.
  template <class F>
  void call(F&& f) const {
    f.template operator()<A>();
  }
};

template <Activation... A>
class ActivationChoice<ActivationList<A...>> {
 public:
  static std::vector<std::string> names() { return {A::name...}; }

  /// Throws UsageError for a name that is not in the list.
  explicit ActivationChoice(const std::string& name) : name_(require_one_of("activation", name, names())) {
    const auto all = names();
    number_ = static_cast<std::size_t>(std::find(all.begin(), all.end(), name_) - all.begin());
  }

  const std::string& name() const { return name_; }
  template <class F>
  void call(F&& f) const {
    std::size_t i = 0;
    ((i++ == number_ ? f.template operator()<A>() : void()), ...);
  }

 private:
  std::string name_;
  std::size_t number_;
};

/// An activation, or a list of them.
template <class A>
concept ActivationOrList = requires {
  ActivationChoice<A>::names();
};

/// pre += bias, y = A(pre).
template <class T, Activation A>
struct BiasActivation {
  T* pre;
  const T* bias;
  T* y;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    T *pr = pre + r * cols, *yr = y + r * cols;
    const T* b = bias;
    using U = accumulate_t<T>;
    team.for_each(cols, [=](std::size_t c) {
      const T z = T(U(pr[c]) + U(b[c]));
      pr[c] = z;
      yr[c] = T(A::value(U(z)));
    });
  }
};

/// dy *= A'(pre).
template <class T, Activation A>
struct ActivationBackward {
  const T* pre;
  T* dy;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* pr = pre + r * cols;
    T* dr = dy + r * cols;
    using U = accumulate_t<T>;
    team.for_each(cols, [=](std::size_t c) { dr[c] = T(U(dr[c]) * A::derivative(U(pr[c]))); });
  }
};

/// pre [N, F] becomes pre + bias [1, F]; y [N, F] = A(pre), overwritten; y must not alias pre.
template <Activation A, device::Device D, class T>
void bias_activation(D& device, Matrix<T> pre, In<T> bias, Matrix<T> y) {
  require_shape("bias_activation: y", y, pre.rows, pre.cols);
  require_shape("bias_activation: bias", bias, 1, pre.cols);
  require(pre.contiguous() && y.contiguous(), "bias_activation: pre and y must be contiguous");
  device.rows(pre.rows, BiasActivation<T, A>{pre.data, bias.data, y.data, pre.cols});
}

/// dy [N, F] becomes the gradient by the pre-activation [N, F], in place.
template <Activation A, device::Device D, class T>
void activation_backward(D& device, In<T> pre, Matrix<T> dy) {
  require_shape("activation_backward: dy", dy, pre.rows, pre.cols);
  require(pre.contiguous() && dy.contiguous(), "activation_backward: pre and dy must be contiguous");
  device.rows(pre.rows, ActivationBackward<T, A>{pre.data, dy.data, pre.cols});
}

}  // namespace demix::ops
