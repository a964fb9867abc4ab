#pragma once
// Precision policies: which type each number has.
//
//   compute     activations and the operands of GEMMs
//   accumulate  arithmetic of row kernels, means, logsumexp, losses, and what sums up over a batch: gradients
//   master      weights and the optimizer's state
//
// Which type sums have follows from what is summed (accumulate_t), so that a kernel need not be told.

#include <concepts>

namespace demix {

/// The type that sums of T are kept in.
template <class T>
struct Accumulate;
template <>
struct Accumulate<float> {
  using type = float;
};
template <>
struct Accumulate<double> {
  using type = double;
};
template <class T>
using accumulate_t = typename Accumulate<T>::type;

template <class P>
concept Precision = requires {
  typename P::compute_type;
  typename P::master_type;
  typename accumulate_t<typename P::compute_type>;
  { P::name } -> std::convertible_to<const char*>;
};

/// The three types of a policy.
template <Precision P>
using compute_t = typename P::compute_type;
template <Precision P>
using gradient_t = accumulate_t<typename P::compute_type>;
template <Precision P>
using master_t = typename P::master_type;

/// Whether the weights that are computed with are the master weights themselves.
template <Precision P>
inline constexpr bool computes_with_master = std::same_as<compute_t<P>, master_t<P>>;

/// Single precision throughout.
struct Fp32 {
  using compute_type = float;
  using master_type = float;
  static constexpr const char* name = "fp32";
};

/// Double precision throughout: for verification (finite differences), not for speed.
struct Fp64 {
  using compute_type = double;
  using master_type = double;
  static constexpr const char* name = "fp64";
};

static_assert(Precision<Fp32> && Precision<Fp64>);

}  // namespace demix
