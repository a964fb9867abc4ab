#pragma once
// The feed-forward policies: y = fc2(A(fc1(x))), once for all domains (DenseFFN) or once per domain
// (DEMixFFN, Gururangan et al. 2022, section 3).

#include <span>
#include <string>
#include <vector>

#include "demix/model/config.hpp"
#include "demix/model/pass.hpp"
#include "demix/ops/activation.hpp"
#include "demix/ops/column_sum.hpp"

namespace demix {

namespace feed_forward {

/// The four matrices of one role.
template <class T>
struct Matrices {
  Matrix<T> fc1_weight, fc1_bias, fc2_weight, fc2_bias;
};
template <class T>
Matrices(Matrix<T>, Matrix<T>, Matrix<T>, Matrix<T>) -> Matrices<T>;

/// Where fc1 [F, C] and fc2 [C, F] with their biases stand in a region.
struct Refs {
  ParameterRef fc1_weight, fc1_bias, fc2_weight, fc2_bias;

  Refs(RegionLayout& region, const std::string& name, const ModelConfig& config) {
    const auto fc1 = Initializer::linear_layer(config.d_model), fc2 = Initializer::linear_layer(config.d_ffn);
    region.align();
    fc1_weight = region.matrix(name + ".fc1.weight", config.d_ffn, config.d_model, fc1);
    fc1_bias = region.vector(name + ".fc1.bias", config.d_ffn, fc1);
    region.align();
    fc2_weight = region.matrix(name + ".fc2.weight", config.d_model, config.d_ffn, fc2);
    fc2_bias = region.vector(name + ".fc2.bias", config.d_model, fc2);
  }

  /// The matrices in an arena, those of its shared region or of an expert's.
  auto shared(auto& arena) const {
    return Matrices{arena.shared(fc1_weight), arena.shared(fc1_bias), arena.shared(fc2_weight),
                    arena.shared(fc2_bias)};
  }
  auto expert(auto& arena, ExpertId e) const {
    return Matrices{arena.expert(e, fc1_weight), arena.expert(e, fc1_bias), arena.expert(e, fc2_weight),
                    arena.expert(e, fc2_bias)};
  }
};

/// Those of E experts in one region. A function of an arena with that region shared, and of an expert.
class SharedExperts {
 public:
  SharedExperts(RegionLayout& region, const std::string& name, const ModelConfig& config,
                std::size_t experts) {
    for (std::size_t e = 0; e < experts; ++e)
      refs_.emplace_back(region, concat(name, ".experts.", e), config);
  }
  auto operator()(auto& arena, ExpertId e) const { return refs_[index(e)].shared(arena); }

 private:
  std::vector<Refs> refs_;
};

template <device::Device D, class T>
struct Saved {
  explicit Saved(D& device) : pre(device), hidden(device) {}
  device::Array<D, T> pre;     // [N, F], fc1's output with its bias
  device::Array<D, T> hidden;  // [N, F], A(pre)
};

/// y [n, C] = fc2(A(fc1(x [n, C]))); pre and hidden [n, F] are kept for the backward pass. Overwrites all
/// three.
template <ops::Activation A, device::Device D, class T>
void forward(D& device, const Matrices<const std::type_identity_t<T>>& w, ops::In<T> x, Matrix<T> pre,
             Matrix<T> hidden, Matrix<T> y) {
  ops::linear(device, x, w.fc1_weight, pre);
  ops::bias_activation<A>(device, pre, w.fc1_bias, hidden);
  ops::linear(device, hidden, w.fc2_weight, y);
  ops::bias_add(device, w.fc2_bias, y);
}

/// dx [n, C], overwritten, may alias x; the weights' gradients d accumulate; hidden becomes the gradient by
/// pre.
template <ops::Activation A, device::Device D, class T>
void backward(D& device, const Matrices<const std::type_identity_t<T>>& w, const Matrices<accumulate_t<T>>& d,
              ops::In<T> x, ops::In<T> dy, ops::In<T> pre, Matrix<T> hidden, Matrix<T> dx,
              device::Array<D, accumulate_t<T>>& columns) {
  ops::linear_backward_weight<T>(device, dy, hidden, d.fc2_weight);
  ops::bias_backward<T>(device, dy, d.fc2_bias, columns);
  ops::linear_backward_input(device, dy, w.fc2_weight, hidden);
  ops::activation_backward<A>(device, pre, hidden);
  ops::linear_backward_weight<T>(device, hidden, x, d.fc1_weight);
  ops::bias_backward<T>(device, hidden, d.fc1_bias, columns);
  ops::linear_backward_input(device, hidden, w.fc1_weight, dx);
}

/// The rows of each segment through the matrices of its expert, which find(arena, expert) finds among weights
/// and among gradients. Overwrites y [N, C] and `saved`.
template <ops::Activation A, device::Device D, Precision P>
void forward_segments(const ForwardPass<D, P>& pass, std::span<const RowSegment> segments, const auto& find,
                      Matrix<const compute_t<P>> x, Matrix<compute_t<P>> y, Saved<D, compute_t<P>>& saved) {
  for (const auto& [domain, expert, first, last] : segments) {
    const auto w = find(pass.weights, expert);
    const auto pre = saved.pre.matrix(x.rows, w.fc1_weight.rows),
               hidden = saved.hidden.matrix(x.rows, w.fc1_weight.rows);
    forward<A>(pass.device, w, x.slice_rows(first, last), pre.slice_rows(first, last),
               hidden.slice_rows(first, last), y.slice_rows(first, last));
  }
}

/// The way back. Overwrites dx [N, C], which may alias x; the matrices' gradients accumulate.
template <ops::Activation A, device::Device D, Precision P>
void backward_segments(const BackwardPass<D, P>& pass, std::span<const RowSegment> segments, const auto& find,
                       Matrix<const compute_t<P>> x, Matrix<const compute_t<P>> dy, Matrix<compute_t<P>> dx,
                       Saved<D, compute_t<P>>& saved) {
  for (const auto& [domain, expert, first, last] : segments) {
    const auto w = find(pass.weights, expert);
    const auto pre = saved.pre.matrix(x.rows, w.fc1_weight.rows),
               hidden = saved.hidden.matrix(x.rows, w.fc1_weight.rows);
    backward<A>(pass.device, w, find(pass.gradients, expert), x.slice_rows(first, last),
                dy.slice_rows(first, last), pre.slice_rows(first, last), hidden.slice_rows(first, last),
                dx.slice_rows(first, last), pass.workspace.columns);
  }
}

}  // namespace feed_forward

/// One feed-forward layer for all domains.
template <ops::ActivationOrList A>
struct DenseFFN {
  static constexpr bool has_experts = false;
  using Activation = A;

  template <device::Device D, Precision P>
  class Layer {
   public:
    using T = compute_t<P>;
    using Saved = feed_forward::Saved<D, T>;

    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : refs_(layout.shared, name, config), d_ffn_(config.d_ffn), activation_(config.activation) {}

    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved& saved) const {
      activation_.call([&]<class Chosen>() {
        feed_forward::forward<Chosen>(pass.device, refs_.shared(pass.weights), x,
                                      saved.pre.matrix(x.rows, d_ffn_), saved.hidden.matrix(x.rows, d_ffn_),
                                      y);
      });
    }

    void backward(const BackwardPass<D, P>& pass, Matrix<const T> x, Matrix<const T> dy, Matrix<T> dx,
                  Saved& saved) const {
      activation_.call([&]<class Chosen>() {
        feed_forward::backward<Chosen>(pass.device, refs_.shared(pass.weights), refs_.shared(pass.gradients),
                                       x, dy, saved.pre.matrix(x.rows, d_ffn_),
                                       saved.hidden.matrix(x.rows, d_ffn_), dx, pass.workspace.columns);
      });
    }

   private:
    feed_forward::Refs refs_;
    std::size_t d_ffn_;
    ops::ActivationChoice<A> activation_;
  };
};

/// One feed-forward layer, an expert, per domain: every segment of rows goes through the expert of its
/// domain.
template <ops::ActivationOrList A>
struct DEMixFFN {
  static constexpr bool has_experts = true;
  using Activation = A;

  template <device::Device D, Precision P>
  class Layer {
   public:
    using T = compute_t<P>;
    using Saved = feed_forward::Saved<D, T>;

    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : refs_(layout.expert, name, config), activation_(config.activation) {}

    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved& saved) const {
      activation_.call([&]<class Chosen>() {
        feed_forward::forward_segments<Chosen>(pass, pass.segments, find(), x, y, saved);
      });
    }

    void backward(const BackwardPass<D, P>& pass, Matrix<const T> x, Matrix<const T> dy, Matrix<T> dx,
                  Saved& saved) const {
      activation_.call([&]<class Chosen>() {
        feed_forward::backward_segments<Chosen>(pass, pass.segments, find(), x, dy, dx, saved);
      });
    }

   private:
    auto find() const {
      return [this](auto& arena, ExpertId e) { return refs_.expert(arena, e); };
    }

    feed_forward::Refs refs_;
    ops::ActivationChoice<A> activation_;
  };
};

}  // namespace demix
