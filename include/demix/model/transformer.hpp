#pragma once
// A decoder-only transformer as its layers and its layout: everything but the numbers.

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "demix/core/domain_name.hpp"
#include "demix/model/block.hpp"
#include "demix/model/concepts.hpp"
#include "demix/model/embedding.hpp"
#include "demix/ops/activation.hpp"

namespace demix {

/// Embedding, blocks, final norm and output projection, composed from policies. Constant: any number of
/// sessions may share one.
template <device::Device D, Precision P, AttentionPolicy<D, P> Attention_, NormPolicy<D, P> Norm_,
          FeedForwardPolicy<D, P> FFN_, ConditioningPolicy Conditioning_>
class Transformer {
 public:
  using DeviceType = D;
  using PrecisionType = P;
  using Attention = Attention_;
  using FFN = FFN_;
  using Conditioning = Conditioning_;
  using BlockType = Block<D, P, Attention, Norm_, FFN>;
  using FinalNorm = typename Norm_::template Layer<D, P>;
  static constexpr bool has_experts = FFN::has_experts;
  static constexpr std::size_t prefix_length = Conditioning::prefix_length;

  /// `config.vocabulary` counts the dictionary alone; the conditioning's tokens are added here.
  /// config.activation may be empty, for the one of FFN; another one is refused. The device must outlive the
  /// transformer. Throws UsageError for a configuration that is not a model, and Error for names of domains
  /// that cannot be (core/domain_name.hpp), and for parameters that policies declare wrongly (validate() of
  /// parameter_layout.hpp).
  Transformer(D& device, ModelConfig config, std::vector<std::string> domains)
      : dictionary_size_(config.vocabulary),
        config_(completed(std::move(config), domains.size())),
        domains_(std::move(domains)),
        embedding_(device, layout_, config_),
        blocks_(make_blocks(layout_, config_)),
        final_norm_(layout_, "decoder.layer_norm", config_),
        output_(output_projection(layout_, config_, embedding_)) {
    require_domain_names(domains_);
    validate(layout_, has_experts);
  }

  const ModelConfig& config() const { return config_; }
  const std::vector<std::string>& domains() const { return domains_; }
  const ParameterLayout& layout() const { return layout_; }
  /// How many experts there are in all.
  std::size_t experts() const { return has_experts ? domains_.size() : 0; }
  /// The expert that serves a domain.
  static ExpertId expert_of(DomainId domain) { return ExpertId(static_cast<std::int32_t>(domain)); }

  std::size_t dictionary_size() const { return dictionary_size_; }
  /// The configuration as the constructor took it: its vocabulary is the dictionary's.
  ModelConfig dictionary_config() const {
    ModelConfig config = config_;
    config.vocabulary = dictionary_size_;
    return config;
  }
  /// How many tokens of text a sequence of T positions holds.
  std::size_t text_length() const { return config_.tokens_per_sample - prefix_length; }

  // The layers, for a session:
  const InputEmbedding<D, P>& embedding() const { return embedding_; }
  const std::vector<BlockType>& blocks() const { return blocks_; }
  const FinalNorm& final_norm() const { return final_norm_; }
  ParameterRef output_projection() const { return output_; }

 private:
  static ModelConfig completed(ModelConfig config, std::size_t domains) {
    if constexpr (requires { typename FFN::Activation; })
      config.activation = ops::ActivationChoice<typename FFN::Activation>(config.activation).name();
    config.validate();
    if (config.vocabulary <= static_cast<std::size_t>(unk_token))
      throw UsageError(concat("model: a vocabulary of ", config.vocabulary,
                              " tokens; set config.vocabulary to the size of the dictionary, which has ",
                              unk_token + 1, " reserved tokens and those of the text"));
    config.vocabulary += Conditioning::extra_tokens(domains);
    if (config.tokens_per_sample <= prefix_length)
      throw UsageError(concat("tokens_per_sample ", config.tokens_per_sample,
                              " leaves no room for text after ", prefix_length, " token of conditioning"));
    return config;
  }

  static std::vector<BlockType> make_blocks(ParameterLayout& layout, const ModelConfig& config) {
    std::vector<BlockType> blocks;
    const auto start_here = [&] {
      layout.block_starts.push_back({layout.shared.size(), layout.expert.size()});
    };
    for (std::size_t l = 0; l < config.layers; ++l) {
      start_here();
      blocks.emplace_back(layout, l, config);
    }
    start_here();
    return blocks;
  }

  static ParameterRef output_projection(ParameterLayout& layout, const ModelConfig& config,
                                        const InputEmbedding<D, P>& embedding) {
    if (config.tied_embeddings) return embedding.token_table();
    layout.shared.align();
    return layout.shared.with_role(ParameterRole::token_table, [&] {
      return layout.shared.matrix("decoder.output_projection.weight", config.vocabulary, config.d_model,
                                  Initializer::normal(1 / std::sqrt(static_cast<double>(config.d_model))));
    });
  }

  std::size_t dictionary_size_;
  ModelConfig config_;
  std::vector<std::string> domains_;
  ParameterLayout layout_;
  InputEmbedding<D, P> embedding_;
  std::vector<BlockType> blocks_;
  FinalNorm final_norm_;
  ParameterRef output_;
};

}  // namespace demix
