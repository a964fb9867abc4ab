#pragma once
// The minimal archetypes of the policy concepts: what each concept asks for and nothing else.

#include <string>

#include "demix/model/concepts.hpp"
#include "demix/ops/dropout.hpp"

namespace demix::testing {

/// What every archetype layer has: no parameters, nothing saved.
struct LayerWithoutParameters {
  struct Saved {
    template <class D>
    explicit Saved(D&) {}
  };
  LayerWithoutParameters(ParameterLayout&, const std::string&, const ModelConfig&) {}
};

/// Of an attention, and the feed-forward layer a user might write first.
struct Identity {
  static constexpr bool has_experts = false;
  template <device::Device D, Precision P>
  struct Layer : LayerWithoutParameters {
    using LayerWithoutParameters::LayerWithoutParameters;
    using T = compute_t<P>;
    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved&) const {
      pass.device.copy(y.data, x.data, x.size());
    }
    void backward(const BackwardPass<D, P>& pass, Matrix<const T>, Matrix<const T> dy, Matrix<T> dx,
                  Saved&) const {
      pass.device.copy(dx.data, dy.data, dy.size());
    }
  };
};
struct IdentityAttention : Identity {};
struct IdentityFFN : Identity {};

struct IdentityNorm {
  template <device::Device D, Precision P>
  struct Layer : LayerWithoutParameters {
    using LayerWithoutParameters::LayerWithoutParameters;
    using T = compute_t<P>;
    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved&) const {
      pass.device.copy(y.data, x.data, x.size());
    }
    void backward_accumulate(const BackwardPass<D, P>& pass, Matrix<const T>, Matrix<const T> dy,
                             Matrix<T> dx, Saved&) const {
      ops::dropout_residual(pass.device, dy, dx, {}, dx);
    }
  };
};

struct PlainInput {
  static constexpr std::size_t prefix_length = 0;
  static std::size_t extra_tokens(std::size_t) { return 0; }
  static Batch apply(const Batch& batch, std::size_t) { return batch; }
};

}  // namespace demix::testing
