#pragma once
// What each axis of LanguageModel must provide. A policy is a type with a nested template `Layer<Device,
// Precision>`: its constructor declares parameters in the layout and keeps where they stand; forward and
// backward find them in the arenas. Layers hold no state: what a backward pass needs goes into `Activations`.

#include <concepts>
#include <cstdint>
#include <span>
#include <string>

#include "demix/core/precision.hpp"
#include "demix/model/batch.hpp"
#include "demix/model/config.hpp"
#include "demix/model/parameters.hpp"
#include "demix/model/workspace.hpp"

namespace demix {

namespace concepts_detail {

template <class L, class D>
concept Layer = std::constructible_from<L, ParameterLayout&, const std::string&, const ModelConfig&> &&
    std::constructible_from<typename L::Activations, D&>;

template <device::Device D, Precision P>
struct Arguments {
  using T = typename P::compute_type;
  D& device;
  ParameterArena<D, typename P::master_type>& gradients;
  const ParameterArena<D, typename P::master_type>& values;
  Workspace<D, T>& workspace;
  Matrix<const T> in;
  Matrix<T> out;
  std::size_t sequence_length;
  std::span<const Segment> segments;
};

}  // namespace concepts_detail

/// y [B T, C] = f(x [B T, C]), mixing positions of a sequence; dx is overwritten, parameter gradients
/// accumulate.
template <class A, class D, class P>
concept AttentionPolicy = concepts_detail::Layer<typename A::template Layer<D, P>, D> &&
    requires(const typename A::template Layer<D, P> layer, concepts_detail::Arguments<D, P> a,
             typename A::template Layer<D, P>::Activations& saved) {
  layer.forward(a.device, a.values, a.sequence_length, a.in, a.out, saved, a.workspace);
  layer.backward(a.device, a.values, a.gradients, a.sequence_length, a.in, a.in, a.out, saved, a.workspace);
};

/// An attention that can also read on: tokens that follow past[b] others of their sequence, whose keys and
/// values are in `keys` [B capacity, 2 C], where it adds those of the new tokens.
template <class A, class D, class P>
concept IncrementalAttentionPolicy = AttentionPolicy<A, D, P> &&
    requires(const typename A::template Layer<D, P> layer, concepts_detail::Arguments<D, P> a,
             typename A::template Layer<D, P>::Activations& saved, const std::int32_t* past) {
  layer.forward_on(a.device, a.values, a.sequence_length, a.in, past, a.out, a.out, saved, a.workspace);
};

/// y [N, C] = f(x [N, C]) row by row; the backward pass adds to dx.
template <class N, class D, class P>
concept NormPolicy = concepts_detail::Layer<typename N::template Layer<D, P>, D> &&
    requires(const typename N::template Layer<D, P> layer, concepts_detail::Arguments<D, P> a,
             typename N::template Layer<D, P>::Activations& saved) {
  layer.forward(a.device, a.values, a.in, a.out, saved);
  layer.backward_accumulate(a.device, a.values, a.gradients, a.in, a.in, a.out, saved, a.workspace);
};

/// y [N, C] = f(x [N, C]) row by row, where segments of rows may take different parameters; dx is
/// overwritten, parameter gradients accumulate. `has_experts` says whether the layer declares parameters in
/// the expert region.
template <class F, class D, class P>
concept FeedForwardPolicy = concepts_detail::Layer<typename F::template Layer<D, P>, D> &&
    requires(const typename F::template Layer<D, P> layer, concepts_detail::Arguments<D, P> a,
             typename F::template Layer<D, P>::Activations& saved) {
  { F::has_experts } -> std::convertible_to<bool>;
  layer.forward(a.device, a.values, a.segments, a.in, a.out, saved, a.workspace);
  layer.backward(a.device, a.values, a.gradients, a.segments, a.in, a.in, a.out, saved, a.workspace);
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
