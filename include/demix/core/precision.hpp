#pragma once
// Precision policies: which type activations and GEMMs use, and which one keeps the master weights, the
// gradients' sums and the optimizer's state.

#include <concepts>

namespace demix {

template <class P>
concept Precision = requires {
  typename P::compute_type;
  typename P::master_type;
  { P::name } -> std::convertible_to<const char*>;
};

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
