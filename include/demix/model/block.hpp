#pragma once
// A pre-norm transformer block: x + attention(LN(x)), then + FFN(LN(.)).

#include <string>

#include "demix/model/config.hpp"
#include "demix/model/pass.hpp"
#include "demix/ops/dropout.hpp"

namespace demix {

template <device::Device D, Precision P, class Attention, class Norm, class FFN>
class Block {
  using AttentionLayer = typename Attention::template Layer<D, P>;
  using NormLayer = typename Norm::template Layer<D, P>;
  using FFNLayer = typename FFN::template Layer<D, P>;

 public:
  using T = compute_t<P>;

  /// What a backward pass needs of the forward pass.
  struct Saved {
    explicit Saved(D& device)
        : attention(device),
          norm1(device),
          norm2(device),
          ffn(device),
          normed1(device),
          middle(device),
          normed2(device) {}
    typename AttentionLayer::Saved attention;
    typename NormLayer::Saved norm1, norm2;
    typename FFNLayer::Saved ffn;
    device::Array<D, T> normed1, middle, normed2;  // [N, C]: LN(x), x + attention, LN(middle)
  };

  Block(ParameterLayout& layout, std::size_t number, const ModelConfig& config)
      : attention_(layout, name(number) + ".self_attn", config),
        norm1_(layout, name(number) + ".self_attn_layer_norm", config),
        ffn_(layout.shared.with_role(ParameterRole::feed_forward,
                                     [&] { return FFNLayer(layout, name(number), config); })),
        norm2_(layout, name(number) + ".final_layer_norm", config),
        first_site_(static_cast<std::uint32_t>(1 + 2 * number)) {}

  /// y [B T, C] of x [B T, C]; overwrites y.
  void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved& saved) const {
    forward_with(pass, x, y, saved, [&](Matrix<const T> normed, Matrix<T> branch) {
      attention_.forward(pass, normed, branch, saved.attention);
    });
  }

  /// The same for tokens that follow the lengths[b] ones in keys_values [B capacity, 2 C], where theirs are
  /// added.
  void forward_cached(const ForwardPass<D, P>& pass, Matrix<const T> x, const std::int32_t* lengths,
                      Matrix<T> keys_values, Matrix<T> y, Saved& saved) const {
    forward_with(pass, x, y, saved, [&](Matrix<const T> normed, Matrix<T> branch) {
      attention_.forward_cached(pass, normed, lengths, keys_values, branch, saved.attention);
    });
  }

  /// dx [B T, C] comes in as the gradient by y and leaves as the gradient by x; parameter gradients
  /// accumulate.
  void backward(const BackwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> dx, Saved& saved) const {
    const auto middle = saved.middle.matrix(x.rows, x.cols), normed1 = saved.normed1.matrix(x.rows, x.cols),
               normed2 = saved.normed2.matrix(x.rows, x.cols);
    const auto d_normed = pass.workspace.branch_gradient.matrix(x.rows, x.cols);
    ffn_.backward(pass, normed2, branch_gradient(pass, dx, first_site_ + 1), d_normed, saved.ffn);
    norm2_.backward_accumulate(pass, middle, d_normed, dx, saved.norm2);
    attention_.backward(pass, normed1, branch_gradient(pass, dx, first_site_), d_normed, saved.attention);
    norm1_.backward_accumulate(pass, x, d_normed, dx, saved.norm1);
  }

 private:
  /// attend(normed, branch) fills the attention's branch.
  template <class Attend>
  void forward_with(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved& saved,
                    Attend attend) const {
    const auto branch = pass.workspace.branch.matrix(x.rows, x.cols);
    const auto normed1 = saved.normed1.matrix(x.rows, x.cols), middle = saved.middle.matrix(x.rows, x.cols),
               normed2 = saved.normed2.matrix(x.rows, x.cols);
    norm1_.forward(pass, x, normed1, saved.norm1);
    attend(normed1, branch);
    ops::dropout_residual(pass.device, branch, x, pass.dropout.at(first_site_), middle);
    norm2_.forward(pass, middle, normed2, saved.norm2);
    ffn_.forward(pass, normed2, branch, saved.ffn);
    ops::dropout_residual(pass.device, branch, middle, pass.dropout.at(first_site_ + 1), y);
  }

  static std::string name(std::size_t number) { return "decoder.layers." + std::to_string(number); }

  /// The gradient by a branch's output: the stream's own, or with dropout a masked copy.
  static Matrix<const T> branch_gradient(const BackwardPass<D, P>& pass, Matrix<const T> dy,
                                         std::uint32_t site) {
    if (!pass.dropout.active()) return dy;
    const auto masked = pass.workspace.branch.matrix(dy.rows, dy.cols);
    ops::dropout_scale(pass.device, dy, pass.dropout.at(site), masked);
    return masked;
  }

  AttentionLayer attention_;
  NormLayer norm1_;
  FFNLayer ffn_;
  NormLayer norm2_;
  std::uint32_t first_site_;
};

}  // namespace demix
