#pragma once
// The causal self-attention policy: projections around ops::Attention (Vaswani et al. 2017).

#include "demix/model/config.hpp"
#include "demix/model/pass.hpp"
#include "demix/ops/attention_cpu.hpp"
#include "demix/ops/column_sum.hpp"
#include "demix/ops/linear.hpp"

namespace demix {

/// Queries and keys go into the scores as the projections made them.
struct NoRotation {
  template <device::Device D, class T>
  static void rotate(D&, const ops::AttentionShape&, Matrix<T>, const std::int32_t*) {}
  template <device::Device D, class T>
  static void rotate_backward(D&, const ops::AttentionShape&, Matrix<T>) {}
};

/// Causal attention. `Rotation` changes queries and keys between the projections and the scores, in place, as
/// positions by rotation do:
/// - rotate(device, shape, qkv [B T, 3 C], lengths): token t of sequence b stands at position lengths[b] + t
///   (device memory; null: t).
/// - rotate_backward(device, shape, dqkv [B T, 3 C]): the gradient by the rotated qkv becomes that by qkv.
template <class Rotation = NoRotation>
struct RotatedCausalAttention {
  template <device::Device D, Precision P>
  class Layer {
   public:
    using T = compute_t<P>;
    using Attention = ops::Attention<D>;

    struct Saved {
      explicit Saved(D& device) : qkv(device), out(device), logsumexp(device) {}
      device::Array<D, T> qkv;                      // [N, 3 C], rotated
      device::Array<D, T> out;                      // [N, C], the heads' outputs side by side
      device::Array<D, accumulate_t<T>> logsumexp;  // [B H, T]
    };

    /// q, k and v projections stand back to back in the layout, so that one GEMM computes all three.
    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : heads_(config.heads), width_(config.d_model) {
      auto& shared = layout.shared;
      const auto qkv_init = Initializer::xavier_uniform(0.70710678118654752);
      shared.align();
      qkv_weight_ =
          shared.stacked_matrices({name + ".q_proj.weight", name + ".k_proj.weight", name + ".v_proj.weight"},
                                  width_, width_, qkv_init);
      qkv_bias_ =
          shared.stacked_vectors({name + ".q_proj.bias", name + ".k_proj.bias", name + ".v_proj.bias"},
                                 width_, Initializer::linear_layer(width_));
      shared.align();
      out_weight_ = shared.matrix(name + ".out_proj.weight", width_, width_, Initializer::xavier_uniform());
      out_bias_ = shared.vector(name + ".out_proj.bias", width_, Initializer::zeros());
    }

    /// y [B T, C] = attention(x [B T, C]); overwrites.
    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved& saved) const {
      const auto shape = shape_of_rows(x.rows, pass.sequence_length);
      const auto qkv = project(pass, x, saved);
      Rotation::template rotate<D, T>(pass.device, shape, qkv, nullptr);
      const auto out = saved.out.matrix(x.rows, width_);
      Attention::template forward<T>(pass.device, shape, qkv, out, logsumexp(shape, saved),
                                     pass.workspace.attention);
      project_out(pass, out, y);
    }

    /// The same for tokens that follow those in keys_values [B capacity, 2 C], lengths[b] of sequence b;
    /// their own keys and values are written after them. No backward pass can follow.
    void forward_cached(const ForwardPass<D, P>& pass, Matrix<const T> x, const std::int32_t* lengths,
                        Matrix<T> keys_values, Matrix<T> y, Saved& saved) const {
      const auto shape = shape_of_rows(x.rows, pass.sequence_length);
      const auto qkv = project(pass, x, saved);
      Rotation::template rotate<D, T>(pass.device, shape, qkv, lengths);
      const auto out = saved.out.matrix(x.rows, width_);
      ops::append_keys_values<D, T>(pass.device, shape, qkv, lengths, keys_values);
      Attention::template forward_cached<T>(pass.device, shape, qkv, keys_values, lengths, out,
                                            pass.workspace.attention);
      project_out(pass, out, y);
    }

    /// dx [B T, C], overwritten; parameter gradients accumulate.
    void backward(const BackwardPass<D, P>& pass, Matrix<const T> x, Matrix<const T> dy, Matrix<T> dx,
                  Saved& saved) const {
      D& device = pass.device;
      auto& columns = pass.workspace.columns;
      const auto shape = shape_of_rows(x.rows, pass.sequence_length);
      const auto qkv = saved.qkv.matrix(x.rows, 3 * width_);
      const auto out = saved.out.matrix(x.rows, width_);
      const auto dqkv = pass.workspace.qkv_gradient.matrix(x.rows, 3 * width_);
      ops::linear_backward_weight<T>(device, dy, out, pass.gradients.shared(out_weight_));
      ops::bias_backward<T>(device, dy, pass.gradients.shared(out_bias_), columns);
      ops::linear_backward_input(device, dy, pass.weights.shared(out_weight_), dx);
      Attention::template backward<T>(device, shape, dx, qkv, out, logsumexp(shape, saved), dqkv,
                                      pass.workspace.attention);
      Rotation::template rotate_backward<D, T>(device, shape, dqkv);
      ops::linear_backward_weight<T>(device, dqkv, x, pass.gradients.shared(qkv_weight_));
      ops::bias_backward<T>(device, dqkv, pass.gradients.shared(qkv_bias_), columns);
      ops::linear_backward_input(device, dqkv, pass.weights.shared(qkv_weight_), dx);
    }

   private:
    Matrix<T> project(const ForwardPass<D, P>& pass, Matrix<const T> x, Saved& saved) const {
      const auto qkv = saved.qkv.matrix(x.rows, 3 * width_);
      ops::linear(pass.device, x, pass.weights.shared(qkv_weight_), qkv);
      ops::bias_add(pass.device, pass.weights.shared(qkv_bias_), qkv);
      return qkv;
    }
    void project_out(const ForwardPass<D, P>& pass, Matrix<const T> out, Matrix<T> y) const {
      ops::linear(pass.device, out, pass.weights.shared(out_weight_), y);
      ops::bias_add(pass.device, pass.weights.shared(out_bias_), y);
    }
    ops::AttentionShape shape_of_rows(std::size_t rows, std::size_t sequence_length) const {
      return {rows / sequence_length, sequence_length, heads_, width_ / heads_};
    }
    static Matrix<accumulate_t<T>> logsumexp(const ops::AttentionShape& shape, Saved& saved) {
      return saved.logsumexp.matrix(shape.sequences * shape.heads, shape.sequence_length);
    }

    std::size_t heads_, width_;
    ParameterRef qkv_weight_, qkv_bias_, out_weight_, out_bias_;
  };
};

using CausalAttention = RotatedCausalAttention<>;

}  // namespace demix
