#pragma once
// The input embedding of a model: tokens times sqrt(C), plus learned, sinusoidal or no positions.

#include <cmath>
#include <vector>

#include "demix/model/config.hpp"
#include "demix/model/pass.hpp"
#include "demix/ops/embedding.hpp"

namespace demix {

/// The table of fixed positions (Vaswani et al. 2017, section 3.5) in the field's tensor2tensor form: sines
/// in the first half of a row and cosines in the second, wavelengths from 2 pi to 10000 2 pi. Row p is
/// position p; the padding row is zero. [T + 2, C], row-major.
template <class T>
std::vector<T> sinusoidal_positions(std::size_t positions, std::size_t width) {
  const std::size_t rows = checked_sum("positions", positions, std::size_t{ops::position_offset}),
                    half = width / 2;
  std::vector<T> table(checked_product("positions", rows, width), T(0));
  for (std::size_t p = 0; p < rows; ++p) {
    if (p == static_cast<std::size_t>(pad_token)) continue;
    for (std::size_t i = 0; i < half; ++i) {
      const double frequency =
          std::exp(-std::log(10000.0) * static_cast<double>(i) / static_cast<double>(half - 1));
      table[p * width + i] = static_cast<T>(std::sin(static_cast<double>(p) * frequency));
      table[p * width + half + i] = static_cast<T>(std::cos(static_cast<double>(p) * frequency));
    }
  }
  return table;
}

template <device::Device D, Precision P>
class InputEmbedding {
 public:
  using T = compute_t<P>;
  static constexpr std::uint32_t dropout_site = 0;

  InputEmbedding(D& device, ParameterLayout& layout, const ModelConfig& config)
      : kind_(config.positions),
        scale_(std::sqrt(static_cast<accumulate_t<T>>(config.d_model))),
        sinusoids_(device) {
    const auto init = Initializer::normal(1 / std::sqrt(static_cast<double>(config.d_model)), pad_token);
    tokens_ = layout.shared.with_role(ParameterRole::token_table, [&] {
      return layout.shared.matrix("decoder.embed_tokens.weight", config.vocabulary, config.d_model, init);
    });
    const std::size_t rows =
        checked_sum("positions", config.tokens_per_sample, std::size_t{ops::position_offset});
    if (kind_ == Positions::learned)
      positions_ = layout.shared.matrix("decoder.embed_positions.weight", rows, config.d_model, init);
    if (kind_ == Positions::sinusoidal)
      sinusoids_.assign(sinusoidal_positions<T>(config.tokens_per_sample, config.d_model));
  }

  ParameterRef token_table() const { return tokens_; }

  /// x [B T, C] of the batch's source tokens (device memory), with dropout; lengths [B] tokens (device
  /// memory, or null for none) stand before each sequence's. Overwrites x.
  void forward(const ForwardPass<D, P>& pass, const Token* tokens, Matrix<T> x,
               const std::int32_t* lengths = nullptr) const {
    ops::embedding(pass.device, tokens, pass.weights.shared(tokens_), position_table(pass, x.cols),
                   pass.sequence_length, scale_, x, lengths);
    if (pass.dropout.active()) ops::dropout_scale(pass.device, x, pass.dropout.at(dropout_site), x);
  }

  /// dx [B T, C] is the gradient by forward's x; it is masked in place. Parameter gradients accumulate.
  void backward(const BackwardPass<D, P>& pass, const ops::TokenGroups& groups, Matrix<T> dx) const {
    if (pass.dropout.active()) ops::dropout_scale(pass.device, dx, pass.dropout.at(dropout_site), dx);
    ops::embedding_backward<T>(pass.device, groups, dx, scale_, pass.gradients.shared(tokens_));
    if (kind_ == Positions::learned)
      ops::position_backward<T>(pass.device, dx, pass.sequence_length, pass.gradients.shared(positions_));
  }

 private:
  Matrix<const T> position_table(const ForwardPass<D, P>& pass, std::size_t width) const {
    if (kind_ == Positions::learned) return pass.weights.shared(positions_);
    return {sinusoids_.data(), sinusoids_.size() / width, width};
  }

  Positions kind_;
  accumulate_t<T> scale_;
  ParameterRef tokens_, positions_;
  device::Array<D, T> sinusoids_;  // empty unless positions are sinusoidal
};

}  // namespace demix
