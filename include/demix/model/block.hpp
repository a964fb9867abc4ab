#pragma once
// A pre-norm transformer block: x + attention(LN(x)), then + FFN(LN(.)).

#include <span>
#include <string>

#include "demix/core/precision.hpp"
#include "demix/model/batch.hpp"
#include "demix/model/config.hpp"
#include "demix/model/parameters.hpp"
#include "demix/model/workspace.hpp"
#include "demix/ops/dropout.hpp"

namespace demix {

template <device::Device D, Precision P, class Attention, class Norm, class FFN>
class Block {
  using AttentionLayer = typename Attention::template Layer<D, P>;
  using NormLayer = typename Norm::template Layer<D, P>;
  using FFNLayer = typename FFN::template Layer<D, P>;

 public:
  using T = typename P::compute_type;
  using Arena = ParameterArena<D, typename P::master_type>;

  struct Activations {
    explicit Activations(D& device)
        : attention(device),
          norm1(device),
          norm2(device),
          ffn(device),
          normed1(device),
          middle(device),
          normed2(device) {}
    typename AttentionLayer::Activations attention;
    typename NormLayer::Activations norm1, norm2;
    typename FFNLayer::Activations ffn;
    device::Array<D, T> normed1, middle, normed2;  // [N, C]: LN(x), x + attention, LN(middle)
  };

  Block(ParameterLayout& layout, std::size_t number, const ModelConfig& config)
      : attention_(layout, name(number) + ".self_attn", config),
        norm1_(layout, name(number) + ".self_attn_layer_norm", config),
        ffn_(layout, name(number), config),
        norm2_(layout, name(number) + ".final_layer_norm", config),
        first_site_(static_cast<std::uint32_t>(1 + 2 * number)) {}

  /// y [B T, C] of x [B T, C]; segments count rows. Overwrites y.
  void forward(D& device, const Arena& values, std::size_t sequence_length, std::span<const Segment> segments,
               Matrix<const T> x, const ops::Dropout& dropout, Matrix<T> y, Activations& saved,
               Workspace<D, T>& workspace) const {
    forward_with(device, values, segments, x, dropout, y, saved, workspace,
                 [&](Matrix<const T> normed, Matrix<T> branch) {
                   attention_.forward(device, values, sequence_length, normed, branch, saved.attention,
                                      workspace);
                 });
  }

  /// The same for tokens that follow the past[b] ones in `keys` [B capacity, 2 C], where theirs are added.
  void forward_on(D& device, const Arena& values, std::size_t sequence_length,
                  std::span<const Segment> segments, Matrix<const T> x, const std::int32_t* past,
                  Matrix<T> keys, Matrix<T> y, Activations& saved, Workspace<D, T>& workspace) const {
    forward_with(device, values, segments, x, {}, y, saved, workspace,
                 [&](Matrix<const T> normed, Matrix<T> branch) {
                   attention_.forward_on(device, values, sequence_length, normed, past, keys, branch,
                                         saved.attention, workspace);
                 });
  }

  /// dx [B T, C] comes in as the gradient by y and leaves as the gradient by x; parameter gradients
  /// accumulate.
  void backward(D& device, const Arena& values, Arena& gradients, std::size_t sequence_length,
                std::span<const Segment> segments, Matrix<const T> x, const ops::Dropout& dropout,
                Matrix<T> dx, Activations& saved, Workspace<D, T>& workspace) const {
    const auto middle = saved.middle.matrix(x.rows, x.cols), normed1 = saved.normed1.matrix(x.rows, x.cols),
               normed2 = saved.normed2.matrix(x.rows, x.cols);
    const auto d_normed = workspace.branch_gradient.matrix(x.rows, x.cols);
    ffn_.backward(device, values, gradients, segments, normed2,
                  branch_gradient(device, dx, dropout.at(first_site_ + 1), workspace), d_normed, saved.ffn,
                  workspace);
    norm2_.backward_accumulate(device, values, gradients, middle, d_normed, dx, saved.norm2, workspace);
    attention_.backward(device, values, gradients, sequence_length, normed1,
                        branch_gradient(device, dx, dropout.at(first_site_), workspace), d_normed,
                        saved.attention, workspace);
    norm1_.backward_accumulate(device, values, gradients, x, d_normed, dx, saved.norm1, workspace);
  }

 private:
  /// attend(normed, branch) fills the attention's branch.
  template <class Attend>
  void forward_with(D& device, const Arena& values, std::span<const Segment> segments, Matrix<const T> x,
                    const ops::Dropout& dropout, Matrix<T> y, Activations& saved, Workspace<D, T>& workspace,
                    Attend attend) const {
    const auto branch = workspace.branch.matrix(x.rows, x.cols);
    const auto normed1 = saved.normed1.matrix(x.rows, x.cols), middle = saved.middle.matrix(x.rows, x.cols),
               normed2 = saved.normed2.matrix(x.rows, x.cols);
    norm1_.forward(device, values, x, normed1, saved.norm1);
    attend(normed1, branch);
    ops::dropout_residual(device, branch, x, dropout.at(first_site_), middle);
    norm2_.forward(device, values, middle, normed2, saved.norm2);
    ffn_.forward(device, values, segments, normed2, branch, saved.ffn, workspace);
    ops::dropout_residual(device, branch, middle, dropout.at(first_site_ + 1), y);
  }

  static std::string name(std::size_t number) { return "decoder.layers." + std::to_string(number); }

  /// The gradient by a branch's output: the stream's own, or with dropout a masked copy.
  static Matrix<const T> branch_gradient(D& device, Matrix<const T> dy, const ops::Dropout& dropout,
                                         Workspace<D, T>& workspace) {
    if (!dropout.active()) return dy;
    const auto masked = workspace.branch.matrix(dy.rows, dy.cols);
    ops::dropout_scale(device, dy, dropout, masked);
    return masked;
  }

  AttentionLayer attention_;
  NormLayer norm1_;
  FFNLayer ffn_;
  NormLayer norm2_;
  std::uint32_t first_site_;
};

}  // namespace demix
