#pragma once
// The causal self-attention policy: projections around ops/attention.hpp (Vaswani et al. 2017).

#include "demix/core/precision.hpp"
#include "demix/model/config.hpp"
#include "demix/model/parameters.hpp"
#include "demix/model/workspace.hpp"
#include "demix/ops/attention.hpp"
#include "demix/ops/column_sum.hpp"

namespace demix {

struct CausalAttention {
  template <device::Device D, Precision P>
  class Layer {
   public:
    using T = typename P::compute_type;
    using Arena = ParameterArena<D, typename P::master_type>;

    struct Activations {
      explicit Activations(D& device) : qkv(device), out(device), logsumexp(device) {}
      device::Array<D, T> qkv;        // [N, 3 C]
      device::Array<D, T> out;        // [N, C], the heads' outputs side by side
      device::Array<D, T> logsumexp;  // [B H, T]
    };

    /// q, k and v projections stand back to back in the layout, so that one GEMM computes all three.
    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : heads_(config.heads), width_(config.d_model) {
      auto& shared = layout.shared;
      const auto qkv_init = Initializer::xavier_uniform(0.70710678118654752);
      shared.align();
      for (const char* part : {"q", "k", "v"}) {
        const auto ref = shared.matrix(name + "." + part + "_proj.weight", width_, width_, qkv_init);
        if (*part == 'q') qkv_weight_ = {ref.offset, 3 * width_, width_};
      }
      for (const char* part : {"q", "k", "v"}) {
        const auto ref = shared.vector(name + "." + part + "_proj.bias", width_, Initializer::zeros());
        if (*part == 'q') qkv_bias_ = {ref.offset, 1, 3 * width_};
      }
      shared.align();
      out_weight_ = shared.matrix(name + ".out_proj.weight", width_, width_, Initializer::xavier_uniform());
      out_bias_ = shared.vector(name + ".out_proj.bias", width_, Initializer::zeros());
    }

    /// y [B T, C] = attention(x [B T, C]); overwrites.
    void forward(D& device, const Arena& values, std::size_t sequence_length, Matrix<const T> x, Matrix<T> y,
                 Activations& saved, Workspace<D, T>& workspace) const {
      const auto shape = shape_of_rows(x.rows, sequence_length);
      const auto qkv = project(device, values, x, saved);
      const auto out = saved.out.matrix(x.rows, width_);
      ops::causal_attention(device, shape, qkv, out, logsumexp(shape, saved), workspace.attention);
      project_out(device, values, out, y);
    }

    /// The same for tokens that follow those in `keys` [B capacity, 2 C], past[b] of sequence b; their own
    /// keys and values are written behind. No backward pass can follow.
    void forward_on(D& device, const Arena& values, std::size_t sequence_length, Matrix<const T> x,
                    const std::int32_t* past, Matrix<T> keys, Matrix<T> y, Activations& saved,
                    Workspace<D, T>& workspace) const {
      const auto shape = shape_of_rows(x.rows, sequence_length);
      const auto qkv = project(device, values, x, saved);
      const auto out = saved.out.matrix(x.rows, width_);
      ops::append_keys<D, T>(device, shape, qkv, past, keys);
      ops::causal_attention_on<T>(device, shape, qkv, keys, past, out, workspace.attention);
      project_out(device, values, out, y);
    }

    /// dx [B T, C], overwritten; parameter gradients accumulate.
    void backward(D& device, const Arena& values, Arena& gradients, std::size_t sequence_length,
                  Matrix<const T> x, Matrix<const T> dy, Matrix<T> dx, Activations& saved,
                  Workspace<D, T>& workspace) const {
      const auto shape = shape_of_rows(x.rows, sequence_length);
      const auto qkv = saved.qkv.matrix(x.rows, 3 * width_);
      const auto out = saved.out.matrix(x.rows, width_);
      const auto dqkv = workspace.qkv_gradient.matrix(x.rows, 3 * width_);
      ops::linear_backward_weight(device, dy, out, gradients.shared(out_weight_));
      ops::bias_backward(device, dy, gradients.shared(out_bias_), workspace.columns);
      ops::linear_backward_input(device, dy, values.shared(out_weight_), dx);
      ops::causal_attention_backward(device, shape, dx, qkv, out, logsumexp(shape, saved), dqkv,
                                     workspace.attention);
      ops::linear_backward_weight(device, dqkv, x, gradients.shared(qkv_weight_));
      ops::bias_backward(device, dqkv, gradients.shared(qkv_bias_), workspace.columns);
      ops::linear_backward_input(device, dqkv, values.shared(qkv_weight_), dx);
    }

   private:
    Matrix<T> project(D& device, const Arena& values, Matrix<const T> x, Activations& saved) const {
      const auto qkv = saved.qkv.matrix(x.rows, 3 * width_);
      ops::linear(device, x, values.shared(qkv_weight_), qkv);
      ops::bias_add(device, values.shared(qkv_bias_), qkv);
      return qkv;
    }
    void project_out(D& device, const Arena& values, Matrix<const T> out, Matrix<T> y) const {
      ops::linear(device, out, values.shared(out_weight_), y);
      ops::bias_add(device, values.shared(out_bias_), y);
    }
    ops::AttentionShape shape_of_rows(std::size_t rows, std::size_t sequence_length) const {
      return {rows / sequence_length, sequence_length, heads_, width_ / heads_};
    }
    static Matrix<T> logsumexp(const ops::AttentionShape& shape, Activations& saved) {
      return saved.logsumexp.matrix(shape.sequences * shape.heads, shape.sequence_length);
    }

    std::size_t heads_, width_;
    ParameterRef qkv_weight_, qkv_bias_, out_weight_, out_bias_;
  };
};

}  // namespace demix
