#pragma once
// What each axis of a Transformer must provide. A policy is a type with a nested template `Layer<Device,
// Precision>`: its constructor declares parameters in the layout and keeps where they stand; forward and
// backward find them in the arenas of the pass. Layers hold no state: what a backward pass needs goes into
// `Saved`.

#include <concepts>
#include <cstdint>
#include <string>

#include "demix/model/batch.hpp"
#include "demix/model/config.hpp"
#include "demix/model/pass.hpp"

namespace demix {

namespace concepts_detail {

template <class L, class D>
concept Layer = std::constructible_from<L, ParameterLayout&, const std::string&, const ModelConfig&> &&
    std::constructible_from<typename L::Saved, D&> && std::move_constructible<typename L::Saved>;

template <device::Device D, Precision P>
struct Arguments {
  using T = compute_t<P>;
  const ForwardPass<D, P>& pass;
  const BackwardPass<D, P>& way_back;
  Matrix<const T> in;
  Matrix<T> out;
  const std::int32_t* lengths;
};

}  // namespace concepts_detail

/// y [B T, C] = f(x [B T, C]), mixing positions of a sequence; dx is overwritten, parameter gradients
/// accumulate.
template <class A, class D, class P>
concept AttentionPolicy = concepts_detail::Layer<typename A::template Layer<D, P>, D> &&
    requires(const typename A::template Layer<D, P> layer, concepts_detail::Arguments<D, P> a,
             typename A::template Layer<D, P>::Saved& saved) {
  layer.forward(a.pass, a.in, a.out, saved);
  layer.backward(a.way_back, a.in, a.in, a.out, saved);
};

/// An attention that can also continue: tokens that follow lengths[b] others of their sequence, whose keys
/// and values are in the first matrix after them [B capacity, 2 C], where it adds those of the new tokens.
template <class A, class D, class P>
concept IncrementalAttentionPolicy = AttentionPolicy<A, D, P> &&
    requires(const typename A::template Layer<D, P> layer, concepts_detail::Arguments<D, P> a,
             typename A::template Layer<D, P>::Saved& saved) {
  layer.forward_cached(a.pass, a.in, a.lengths, a.out, a.out, saved);
};

/// y [N, C] = f(x [N, C]) row by row; the backward pass adds to dx.
template <class N, class D, class P>
concept NormPolicy = concepts_detail::Layer<typename N::template Layer<D, P>, D> &&
    requires(const typename N::template Layer<D, P> layer, concepts_detail::Arguments<D, P> a,
             typename N::template Layer<D, P>::Saved& saved) {
  layer.forward(a.pass, a.in, a.out, saved);
  layer.backward_accumulate(a.way_back, a.in, a.in, a.out, saved);
};

/// y [N, C] = f(x [N, C]) row by row, where segments of rows may take different parameters; dx is
/// overwritten, parameter gradients accumulate. `has_experts` says whether the layer declares parameters in
/// the expert region. A policy may name its `Activation` (ops/activation.hpp: a type, or a list of them):
/// models then complete the configuration's activation by it, and refuse another one.
template <class F, class D, class P>
concept FeedForwardPolicy = concepts_detail::Layer<typename F::template Layer<D, P>, D> &&
    requires(const typename F::template Layer<D, P> layer, concepts_detail::Arguments<D, P> a,
             typename F::template Layer<D, P>::Saved& saved) {
  { F::has_experts } -> std::convertible_to<bool>;
  layer.forward(a.pass, a.in, a.out, saved);
  layer.backward(a.way_back, a.in, a.in, a.out, saved);
};

/// Alters the input: puts `prefix_length` tokens, of `extra_tokens` beyond the dictionary, before each
/// sequence.
template <class C>
concept ConditioningPolicy = requires(const Batch& batch, std::size_t n) {
  { C::prefix_length } -> std::convertible_to<std::size_t>;
  { C::extra_tokens(n) } -> std::same_as<std::size_t>;
  { C::apply(batch, n) } -> std::same_as<Batch>;
};

}  // namespace demix
