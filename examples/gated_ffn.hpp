#pragma once
// A feed-forward policy as a user of the library writes one: the gated layer of Shazeer, "GLU Variants
// Improve Transformer" (2020), one per domain. y = W_down (A(W_gate x) * W_up x), without biases; A = relu is
// ReGLU, A = gelu is GeGLU. Its kernels, its parameters, its forward and its backward pass are all in this
// file.

#include "demix/model/concepts.hpp"
#include "demix/ops/activation.hpp"

namespace gated_ffn {

/// hidden [n, F] = A(gate) * up, of gate_up [n, 2 F], which holds both side by side.
template <class T, demix::ops::Activation A>
struct Product {
  const T* gate_up;
  T* hidden;
  std::size_t d_ffn;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T *gate = gate_up + r * 2 * d_ffn, *up = gate + d_ffn;
    T* h = hidden + r * d_ffn;
    team.for_each(d_ffn, [=](std::size_t f) { h[f] = A::value(gate[f]) * up[f]; });
  }
};

/// gate_up [n, 2 F] becomes its own gradient, of d_hidden [n, F].
template <class T, demix::ops::Activation A>
struct ProductBackward {
  const T* d_hidden;
  T* gate_up;
  std::size_t d_ffn;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    T *gate = gate_up + r * 2 * d_ffn, *up = gate + d_ffn;
    const T* dh = d_hidden + r * d_ffn;
    team.for_each(d_ffn, [=](std::size_t f) {
      const T g = gate[f], u = up[f];
      gate[f] = dh[f] * u * A::derivative(g);
      up[f] = dh[f] * A::value(g);
    });
  }
};

}  // namespace gated_ffn

template <demix::ops::ActivationOrList A>
struct GatedFFN {
  static constexpr bool has_experts = true;
  using Activation = A;

  template <demix::device::Device D, demix::Precision P>
  class Layer {
   public:
    using T = demix::compute_t<P>;
    template <class U>
    using Matrix = demix::Matrix<U>;

    struct Saved {
      explicit Saved(D& device) : gate_up(device), hidden(device) {}
      demix::device::Array<D, T> gate_up;  // [N, 2 F]
      demix::device::Array<D, T> hidden;   // [N, F]
    };

    /// The weights of gate and up stand back to back in the layout, so that one GEMM computes both.
    Layer(demix::ParameterLayout& layout, const std::string& name, const demix::ModelConfig& config)
        : d_ffn_(config.d_ffn), activation_(config.activation) {
      auto& region = layout.expert;
      region.align();
      gate_up_ = region.stacked_matrices({name + ".gate_proj.weight", name + ".up_proj.weight"}, d_ffn_,
                                         config.d_model, demix::Initializer::linear_layer(config.d_model));
      region.align();
      down_ = region.matrix(name + ".down_proj.weight", config.d_model, d_ffn_,
                            demix::Initializer::linear_layer(d_ffn_));
    }

    /// y [N, C] of x [N, C], each segment of rows through its expert; overwrites.
    void forward(const demix::ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved& saved) const {
      const auto gate_up = saved.gate_up.matrix(x.rows, 2 * d_ffn_);
      const auto hidden = saved.hidden.matrix(x.rows, d_ffn_);
      for (const auto& [domain, expert, first, last] : pass.segments)
        demix::ops::linear(pass.device, x.slice_rows(first, last), pass.weights.expert(expert, gate_up_),
                           gate_up.slice_rows(first, last));
      activation_.call([&]<class Chosen>() {
        pass.device.rows(x.rows, gated_ffn::Product<T, Chosen>{gate_up.data, hidden.data, d_ffn_});
      });
      for (const auto& [domain, expert, first, last] : pass.segments)
        demix::ops::linear(pass.device, hidden.slice_rows(first, last), pass.weights.expert(expert, down_),
                           y.slice_rows(first, last));
    }

    /// dx [N, C], overwritten, of dy [N, C]; the parameters' gradients accumulate.
    void backward(const demix::BackwardPass<D, P>& pass, Matrix<const T> x, Matrix<const T> dy, Matrix<T> dx,
                  Saved& saved) const {
      D& device = pass.device;
      const auto gate_up = saved.gate_up.matrix(x.rows, 2 * d_ffn_);
      const auto hidden = saved.hidden.matrix(x.rows, d_ffn_);
      for (const auto& [domain, expert, first, last] : pass.segments) {
        const auto dy_rows = dy.slice_rows(first, last);
        const auto hidden_rows = hidden.slice_rows(first, last);
        demix::ops::linear_backward_weight<T>(device, dy_rows, hidden_rows,
                                              pass.gradients.expert(expert, down_));
        demix::ops::linear_backward_input(device, dy_rows, pass.weights.expert(expert, down_), hidden_rows);
      }
      activation_.call([&]<class Chosen>() {
        device.rows(x.rows, gated_ffn::ProductBackward<T, Chosen>{hidden.data, gate_up.data, d_ffn_});
      });
      for (const auto& [domain, expert, first, last] : pass.segments) {
        const auto d_rows = gate_up.slice_rows(first, last);
        demix::ops::linear_backward_weight<T>(device, d_rows, x.slice_rows(first, last),
                                              pass.gradients.expert(expert, gate_up_));
        demix::ops::linear_backward_input(device, d_rows, pass.weights.expert(expert, gate_up_),
                                          dx.slice_rows(first, last));
      }
    }

   private:
    std::size_t d_ffn_;
    demix::ops::ActivationChoice<A> activation_;
    demix::ParameterRef gate_up_, down_;
  };
};
