#pragma once
// The feed-forward policies: y = fc2(A(fc1(x))), once for all domains (DenseFFN) or once per domain
// (DEMixFFN, Gururangan et al. 2022, section 3).

#include <span>

#include "demix/core/precision.hpp"
#include "demix/model/batch.hpp"
#include "demix/model/config.hpp"
#include "demix/model/parameters.hpp"
#include "demix/model/workspace.hpp"
#include "demix/ops/activation.hpp"
#include "demix/ops/column_sum.hpp"

namespace demix {

namespace feed_forward {

/// Where fc1 [F, C] and fc2 [C, F] with their biases stand in a region.
struct Refs {
  ParameterRef fc1_weight, fc1_bias, fc2_weight, fc2_bias;

  Refs(RegionLayout& region, const std::string& name, const ModelConfig& config) {
    const auto xavier = Initializer::xavier_uniform();
    region.align();
    fc1_weight = region.matrix(name + ".fc1.weight", config.d_ffn, config.d_model, xavier);
    fc1_bias = region.vector(name + ".fc1.bias", config.d_ffn, Initializer::zeros());
    region.align();
    fc2_weight = region.matrix(name + ".fc2.weight", config.d_model, config.d_ffn, xavier);
    fc2_bias = region.vector(name + ".fc2.bias", config.d_model, Initializer::zeros());
  }
};

/// The four matrices themselves, of one role.
template <class T>
struct Weights {
  Matrix<T> fc1_weight, fc1_bias, fc2_weight, fc2_bias;
};

template <device::Device D, class T>
struct Activations {
  explicit Activations(D& device) : pre(device), hidden(device) {}
  device::Array<D, T> pre;     // [N, F], fc1's output with its bias
  device::Array<D, T> hidden;  // [N, F], A(pre)
};

/// y [n, C] = fc2(A(fc1(x [n, C]))); pre and hidden [n, F] are kept for the backward pass. Overwrites all
/// three.
template <ops::Activation A, device::Device D, class T>
void forward(D& device, const Weights<const std::type_identity_t<T>>& w, ops::In<T> x, Matrix<T> pre,
             Matrix<T> hidden, Matrix<T> y) {
  ops::linear(device, x, w.fc1_weight, pre);
  ops::bias_activation<A>(device, pre, w.fc1_bias, hidden);
  ops::linear(device, hidden, w.fc2_weight, y);
  ops::bias_add(device, w.fc2_bias, y);
}

/// dx [n, C], overwritten; the weights' gradients d accumulate; hidden becomes the gradient by pre.
template <ops::Activation A, device::Device D, class T>
void backward(D& device, const Weights<const std::type_identity_t<T>>& w, const Weights<T>& d, ops::In<T> x,
              ops::In<T> dy, ops::In<T> pre, Matrix<T> hidden, Matrix<T> dx, device::Array<D, T>& columns) {
  ops::linear_backward_weight(device, dy, hidden, d.fc2_weight);
  ops::bias_backward(device, dy, d.fc2_bias, columns);
  ops::linear_backward_input(device, dy, w.fc2_weight, hidden);
  ops::activation_backward<A>(device, pre, hidden);
  ops::linear_backward_weight(device, hidden, x, d.fc1_weight);
  ops::bias_backward(device, hidden, d.fc1_bias, columns);
  ops::linear_backward_input(device, hidden, w.fc1_weight, dx);
}

}  // namespace feed_forward

/// One feed-forward layer for all domains.
template <ops::Activation A>
struct DenseFFN {
  static constexpr bool has_experts = false;

  template <device::Device D, Precision P>
  class Layer {
   public:
    using T = typename P::compute_type;
    using Arena = ParameterArena<D, typename P::master_type>;
    using Activations = feed_forward::Activations<D, T>;

    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : refs_(layout.shared, name, config), d_ffn_(config.d_ffn) {}

    void forward(D& device, const Arena& values, std::span<const Segment>, Matrix<const T> x, Matrix<T> y,
                 Activations& saved, Workspace<D, T>&) const {
      feed_forward::forward<A>(device, weights<const T>(values), x, saved.pre.matrix(x.rows, d_ffn_),
                               saved.hidden.matrix(x.rows, d_ffn_), y);
    }

    void backward(D& device, const Arena& values, Arena& gradients, std::span<const Segment>,
                  Matrix<const T> x, Matrix<const T> dy, Matrix<T> dx, Activations& saved,
                  Workspace<D, T>& workspace) const {
      feed_forward::backward<A>(device, weights<const T>(values), weights<T>(gradients), x, dy,
                                saved.pre.matrix(x.rows, d_ffn_), saved.hidden.matrix(x.rows, d_ffn_), dx,
                                workspace.columns);
    }

   private:
    template <class U>
    feed_forward::Weights<U> weights(auto& arena) const {
      return {arena.shared(refs_.fc1_weight), arena.shared(refs_.fc1_bias), arena.shared(refs_.fc2_weight),
              arena.shared(refs_.fc2_bias)};
    }

    feed_forward::Refs refs_;
    std::size_t d_ffn_;
  };
};

/// One feed-forward layer, an expert, per domain: every segment of rows goes through the expert of its
/// domain.
template <ops::Activation A>
struct DEMixFFN {
  static constexpr bool has_experts = true;

  template <device::Device D, Precision P>
  class Layer {
   public:
    using T = typename P::compute_type;
    using Arena = ParameterArena<D, typename P::master_type>;
    using Activations = feed_forward::Activations<D, T>;

    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : refs_(layout.expert, name, config), d_ffn_(config.d_ffn) {}

    void forward(D& device, const Arena& values, std::span<const Segment> segments, Matrix<const T> x,
                 Matrix<T> y, Activations& saved, Workspace<D, T>&) const {
      const auto pre = saved.pre.matrix(x.rows, d_ffn_), hidden = saved.hidden.matrix(x.rows, d_ffn_);
      for (const auto& [domain, first, last] : segments)
        feed_forward::forward<A>(device, weights<const T>(values, domain), x.slice_rows(first, last),
                                 pre.slice_rows(first, last), hidden.slice_rows(first, last),
                                 y.slice_rows(first, last));
    }

    void backward(D& device, const Arena& values, Arena& gradients, std::span<const Segment> segments,
                  Matrix<const T> x, Matrix<const T> dy, Matrix<T> dx, Activations& saved,
                  Workspace<D, T>& workspace) const {
      const auto pre = saved.pre.matrix(x.rows, d_ffn_), hidden = saved.hidden.matrix(x.rows, d_ffn_);
      for (const auto& [domain, first, last] : segments)
        feed_forward::backward<A>(device, weights<const T>(values, domain), weights<T>(gradients, domain),
                                  x.slice_rows(first, last), dy.slice_rows(first, last),
                                  pre.slice_rows(first, last), hidden.slice_rows(first, last),
                                  dx.slice_rows(first, last), workspace.columns);
    }

   private:
    template <class U>
    feed_forward::Weights<U> weights(auto& arena, DomainId e) const {
      return {arena.expert(e, refs_.fc1_weight), arena.expert(e, refs_.fc1_bias),
              arena.expert(e, refs_.fc2_weight), arena.expert(e, refs_.fc2_bias)};
    }

    feed_forward::Refs refs_;
    std::size_t d_ffn_;
  };
};

}  // namespace demix
