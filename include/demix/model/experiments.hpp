#pragma once
// The four experiments as types. A is an activation, or a list of which the configuration names one.

#include "demix/model/causal_attention.hpp"
#include "demix/model/conditioning.hpp"
#include "demix/model/feed_forward.hpp"
#include "demix/model/language_model.hpp"
#include "demix/model/layer_norm.hpp"

namespace demix {

/// One model for all domains: the dense and the unbalanced experiment (they differ in sampling).
template <device::Device D, Precision P, ops::ActivationOrList A = ops::Activations>
using DenseModel = LanguageModel<D, P, CausalAttention, LayerNorm, DenseFFN<A>, NoConditioning>;

/// Dense, with the domain's token in front of every sequence.
template <device::Device D, Precision P, ops::ActivationOrList A = ops::Activations>
using DomainTokenModel = LanguageModel<D, P, CausalAttention, LayerNorm, DenseFFN<A>, DomainToken>;

/// A feed-forward expert per domain.
template <device::Device D, Precision P, ops::ActivationOrList A = ops::Activations>
using DEMixModel = LanguageModel<D, P, CausalAttention, LayerNorm, DEMixFFN<A>, NoConditioning>;

}  // namespace demix
