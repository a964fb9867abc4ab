#pragma once
// The language model: embedding, blocks, final norm, output projection, loss; composed from policies.

#include <deque>
#include <string>
#include <vector>

#include "demix/core/domain_name.hpp"
#include "demix/core/precision.hpp"
#include "demix/model/batch.hpp"
#include "demix/model/block.hpp"
#include "demix/model/concepts.hpp"
#include "demix/model/config.hpp"
#include "demix/model/embedding.hpp"
#include "demix/model/key_value_cache.hpp"
#include "demix/model/parameters.hpp"
#include "demix/ops/softmax_cross_entropy.hpp"

namespace demix {

/// A decoder-only transformer. Stateless apart from its parameter values and its buffers: the optimizer, the
/// ranks and the data are other people's business. Not thread-safe; all members but the constructor wait for
/// the device.
template <device::Device D, Precision P, AttentionPolicy<D, P> Attention, NormPolicy<D, P> Norm,
          FeedForwardPolicy<D, P> FFN, ConditioningPolicy Conditioning>
class LanguageModel {
 public:
  using DeviceType = D;
  using T = typename P::compute_type;
  using Arena = ParameterArena<D, typename P::master_type>;
  using Cache = KeyValueCache<D, T>;
  static constexpr bool has_experts = FFN::has_experts;
  static constexpr std::size_t prefix_length = Conditioning::prefix_length;

  /// `config.vocabulary` counts the dictionary alone; the conditioning's tokens are added here. Values are
  /// zero, to be loaded. The device must outlive the model. Throws UsageError for a configuration that is not
  /// a model, and Error for names of domains that cannot be (core/domain_name.hpp), and for parameters that
  /// policies declare wrongly (validate() of parameters.hpp).
  LanguageModel(D& device, ModelConfig config, std::vector<std::string> domains)
      : device_(&device),
        dictionary_size_(config.vocabulary),
        config_(with_vocabulary(std::move(config), domains.size())),
        domains_(checked(std::move(domains))),
        embedding_(device, layout_, config_),
        blocks_(make_blocks(layout_, config_)),
        final_norm_(layout_, "decoder.layer_norm", config_),
        output_(output_projection(layout_, config_, embedding_)),
        values_(device, validated(layout_), domains_.size()),
        workspace_(device),
        final_saved_(device),
        final_(device),
        final_gradient_(device),
        stream_gradient_(device),
        logits_(device),
        losses_(device),
        last_(device),
        source_(device),
        target_(device),
        groups_(device) {}

  /// The same, with values that start from `seed`.
  LanguageModel(D& device, ModelConfig config, std::vector<std::string> domains, Seed seed)
      : LanguageModel(device, std::move(config), std::move(domains)) {
    initialize(device, layout_, seed, values_);
  }

  D& device() { return *device_; }
  const ModelConfig& config() const { return config_; }
  const std::vector<std::string>& domains() const { return domains_; }
  const ParameterLayout& layout() const { return layout_; }
  Arena& values() { return values_; }
  const Arena& values() const { return values_; }
  /// A zeroed arena in the model's layout: gradients or optimizer moments.
  Arena make_arena() { return Arena(*device_, layout_, domains_.size()); }
  std::size_t dictionary_size() const { return dictionary_size_; }
  /// The configuration as the constructor took it: its vocabulary is the dictionary's.
  ModelConfig dictionary_config() const {
    ModelConfig config = config_;
    config.vocabulary = dictionary_size_;
    return config;
  }
  /// How many tokens of text a sequence of T positions holds.
  std::size_t text_length() const { return config_.tokens_per_sample - prefix_length; }

  /// -log p of every target of the batch, [B T] in its order, 0 where the target is ignored.
  std::vector<T> token_losses(const Batch& text) {
    const Batch batch = prepare(text);
    forward(batch, {}, false);
    return losses_of(batch, prefix_length);
  }

  /// The same, with dropout, and adds the gradient of the sum of the losses to `gradients`.
  std::vector<T> accumulate_gradients(const Batch& text, const ops::Dropout& dropout, Arena& gradients) {
    const Batch batch = prepare(text);
    forward(batch, dropout, true);
    const auto d_final = final_gradient_.matrix(batch.rows(), config_.d_model);
    const auto h = final_.matrix(batch.rows(), config_.d_model);
    output_layer(h, [&](Matrix<T> logits, std::size_t first, Matrix<T> losses) {
      ops::cross_entropy_with_gradient(*device_, logits, target_.data() + first, losses);
      const auto last = first + logits.rows;
      ops::linear_backward_input(*device_, logits, values_.shared(output_), d_final.slice_rows(first, last));
      ops::linear_backward_weight(*device_, logits, h.slice_rows(first, last), gradients.shared(output_));
    });
    backward(batch, dropout, d_final, gradients);
    return text_losses(batch, prefix_length);
  }

  /// The logits of every position of the batch, [B (prefix + T), V], row-major.
  std::vector<T> logits(const Batch& text) {
    const Batch batch = prepare(text);
    forward(batch, {}, false);
    return logits_of(final_.matrix(batch.rows(), config_.d_model));
  }

  /// A cache of `sequences` sequences that have read nothing, each with room for the model's T positions.
  Cache make_cache(std::size_t sequences) {
    return Cache(*device_, blocks_.size(), config_.d_model, config_.tokens_per_sample, sequences);
  }

  /// token_losses of a batch that goes on where each sequence of the cache stands, which then stands behind
  /// it. What is padding at the end of a sequence's source is not read. Throws Error when the batch does not
  /// fit into the T positions behind some sequence.
  std::vector<T> token_losses(const Batch& text,
                              Cache& cache) requires IncrementalAttentionPolicy<Attention, D, P> {
    const std::size_t prefix = cache.empty() ? prefix_length : 0;
    const Batch batch = read(text, cache);
    return losses_of(batch, prefix);
  }

  /// Reads on in the same way. The logits that follow each sequence's last token, [B, V]; a sequence that has
  /// no token in this batch is an Error.
  std::vector<T> next_logits(const Batch& text,
                             Cache& cache) requires IncrementalAttentionPolicy<Attention, D, P> {
    const Batch batch = read(text, cache);
    const auto h = final_.matrix(batch.rows(), config_.d_model),
               last = last_.matrix(batch.sequences(), config_.d_model);
    for (std::size_t b = 0; b < batch.sequences(); ++b) {
      const std::size_t length = tokens_of(batch, b);
      require(length > 0, "next_logits: sequence ", b, " has no token");
      device_->copy(last.row(b), h.row(b * batch.sequence_length + length - 1), config_.d_model);
    }
    return logits_of(last);
  }

 private:
  using BlockType = Block<D, P, Attention, Norm, FFN>;
  using FinalNorm = typename Norm::template Layer<D, P>;

  static ModelConfig with_vocabulary(ModelConfig config, std::size_t domains) {
    config.validate();
    if (config.vocabulary <= static_cast<std::size_t>(unk_token))
      throw UsageError(concat("model: a vocabulary of ", config.vocabulary,
                              " tokens; set config.vocabulary to the size of the dictionary, which has ",
                              unk_token + 1, " reserved tokens and those of the text"));
    config.vocabulary += Conditioning::extra_tokens(domains);
    if (config.tokens_per_sample <= prefix_length)
      throw UsageError(concat("--tokens-per-sample ", config.tokens_per_sample,
                              " leaves no room for text after ", prefix_length, " token of conditioning"));
    return config;
  }

  static std::vector<std::string> checked(std::vector<std::string> domains) {
    require_domain_names(domains);
    return domains;
  }

  static const ParameterLayout& validated(const ParameterLayout& layout) {
    validate(layout, has_experts);
    return layout;
  }

  static std::vector<BlockType> make_blocks(ParameterLayout& layout, const ModelConfig& config) {
    std::vector<BlockType> blocks;
    for (std::size_t l = 0; l < config.layers; ++l) blocks.emplace_back(layout, l, config);
    return blocks;
  }

  static ParameterRef output_projection(ParameterLayout& layout, const ModelConfig& config,
                                        const InputEmbedding<D, P>& embedding) {
    if (config.tied_embeddings) return embedding.token_table();
    layout.shared.align();
    return layout.shared.matrix("decoder.output_projection.weight", config.vocabulary, config.d_model,
                                Initializer::normal(1 / std::sqrt(static_cast<double>(config.d_model))));
  }

  /// Checks the batch, adds the conditioning unless the text goes on, and sends the tokens to the device.
  Batch prepare(const Batch& text, bool goes_on = false) {
    text.validate(dictionary_size_, domains_.size());
    Batch batch = goes_on ? text : Conditioning::apply(text, dictionary_size_);
    require(batch.sequence_length <= config_.tokens_per_sample, "batch: sequences of ", batch.sequence_length,
            " tokens, but the model has ", config_.tokens_per_sample, " positions");
    source_.assign(batch.source);
    target_.assign(batch.target);
    segments_ = batch.segments;
    for (auto& segment : segments_) {
      segment.first *= batch.sequence_length;
      segment.last *= batch.sequence_length;
    }
    return batch;
  }

  /// Fills final_ [N, C], the final norm's output, keeping the blocks' activations only where a backward pass
  /// follows.
  void forward(const Batch& batch, const ops::Dropout& dropout, bool keep) {
    const std::size_t rows = batch.rows(), width = config_.d_model;
    while (saved_.size() < (keep ? blocks_.size() : 1)) saved_.emplace_back(*device_);
    while (streams_.size() < (keep ? blocks_.size() + 1 : 2)) streams_.emplace_back(*device_);
    embedding_.forward(*device_, values_, source_.data(), batch.sequence_length, dropout, stream(0, rows));
    for (std::size_t l = 0; l < blocks_.size(); ++l)
      blocks_[l].forward(*device_, values_, batch.sequence_length, segments_, stream(keep ? l : l % 2, rows),
                         dropout, stream(keep ? l + 1 : (l + 1) % 2, rows), saved_[keep ? l : 0], workspace_);
    final_norm_.forward(*device_, values_, stream(keep ? blocks_.size() : blocks_.size() % 2, rows),
                        final_.matrix(rows, width), final_saved_);
  }

  /// The same for a text that goes on behind the cache's sequences, which read it. Returns the batch that the
  /// blocks saw.
  Batch read(const Batch& text, Cache& cache) {
    Batch batch = prepare(text, !cache.empty());
    require(batch.sequences() == cache.sequences(), "cache of ", cache.sequences(),
            " sequences for a batch of ", batch.sequences());
    for (const std::size_t length : cache.lengths())
      require(length + batch.sequence_length <= cache.capacity(), "cache: ", batch.sequence_length,
              " more positions after ", length, " are more than the model's ", cache.capacity());
    const std::size_t rows = batch.rows(), width = config_.d_model;
    while (saved_.size() < 1) saved_.emplace_back(*device_);
    while (streams_.size() < 2) streams_.emplace_back(*device_);
    const auto* past = cache.past();
    embedding_.forward(*device_, values_, source_.data(), batch.sequence_length, {}, stream(0, rows), past);
    for (std::size_t l = 0; l < blocks_.size(); ++l)
      blocks_[l].forward_on(*device_, values_, batch.sequence_length, segments_, stream(l % 2, rows), past,
                            cache.keys(l), stream((l + 1) % 2, rows), saved_[0], workspace_);
    final_norm_.forward(*device_, values_, stream(blocks_.size() % 2, rows), final_.matrix(rows, width),
                        final_saved_);
    for (std::size_t b = 0; b < batch.sequences(); ++b) cache.advance(b, tokens_of(batch, b));
    return batch;
  }

  /// How many tokens of sequence b are not padding at its end.
  static std::size_t tokens_of(const Batch& batch, std::size_t b) {
    std::size_t length = batch.sequence_length;
    while (length > 0 && batch.source[b * batch.sequence_length + length - 1] == pad_token) --length;
    return length;
  }

  void backward(const Batch& batch, const ops::Dropout& dropout, Matrix<T> d_final, Arena& gradients) {
    const std::size_t rows = batch.rows();
    const auto dx = stream_gradient_.matrix(rows, config_.d_model);
    device_->fill_zero(dx.data, dx.size());
    final_norm_.backward_accumulate(*device_, values_, gradients, stream(blocks_.size(), rows), d_final, dx,
                                    final_saved_, workspace_);
    for (std::size_t l = blocks_.size(); l-- > 0;)
      blocks_[l].backward(*device_, values_, gradients, batch.sequence_length, segments_, stream(l, rows),
                          dropout, dx, saved_[l], workspace_);
    groups_.assign(batch.source);
    embedding_.backward(*device_, gradients, groups_, batch.sequence_length, dropout, dx);
  }

  /// consume(logits [n, V], first row, losses [1, n]) over chunks of the rows of h [N, C], so that the logits
  /// never take more than output_chunk_bytes, or one row.
  template <class Consume>
  void output_layer(Matrix<const T> h, Consume consume) {
    const std::size_t chunk = std::max<std::size_t>(1, output_chunk_bytes / (config_.vocabulary * sizeof(T)));
    const auto losses = losses_.matrix(1, h.rows);
    for (std::size_t first = 0; first < h.rows; first += chunk) {
      const std::size_t last = std::min(first + chunk, h.rows);
      const auto logits = logits_.matrix(last - first, config_.vocabulary);
      ops::linear(*device_, h.slice_rows(first, last), values_.shared(output_), logits);
      consume(logits, first, losses.slice_cols(first, last));
    }
  }

  /// The logits of h [N, C] on the host, [N, V].
  std::vector<T> logits_of(Matrix<const T> h) {
    std::vector<T> result(checked_product("logits", h.rows, config_.vocabulary));
    output_layer(h, [&](Matrix<T> logits, std::size_t first, Matrix<T>) {
      device_->copy_to_host(result.data() + first * logits.cols, logits.data, logits.size());
    });
    return result;
  }

  /// The losses of final_ on the host, without the `prefix` first rows of each sequence.
  std::vector<T> losses_of(const Batch& batch, std::size_t prefix) {
    output_layer(final_.matrix(batch.rows(), config_.d_model),
                 [this](Matrix<T> logits, std::size_t first, Matrix<T> losses) {
                   ops::cross_entropy(*device_, logits, target_.data() + first, losses);
                 });
    return text_losses(batch, prefix);
  }

  std::vector<T> text_losses(const Batch& batch, std::size_t prefix) {
    std::vector<T> losses = losses_.to_host(batch.rows());
    if (prefix > 0) {
      std::size_t kept = 0;
      for (std::size_t r = 0; r < losses.size(); ++r)
        if (r % batch.sequence_length >= prefix) losses[kept++] = losses[r];
      losses.resize(kept);
    }
    return losses;
  }

  Matrix<T> stream(std::size_t l, std::size_t rows) { return streams_[l].matrix(rows, config_.d_model); }

  static constexpr std::size_t output_chunk_bytes = std::size_t{64} << 20;

  D* device_;
  std::size_t dictionary_size_;
  ModelConfig config_;
  std::vector<std::string> domains_;
  ParameterLayout layout_;
  InputEmbedding<D, P> embedding_;
  std::vector<BlockType> blocks_;
  FinalNorm final_norm_;
  ParameterRef output_;
  Arena values_;

  Workspace<D, T> workspace_;
  std::deque<typename BlockType::Activations>
      saved_;                                // one per block where a backward pass follows, else one
  std::deque<device::Array<D, T>> streams_;  // [N, C]: the input of each block, and the last one's output
  typename FinalNorm::Activations final_saved_;
  device::Array<D, T> final_, final_gradient_, stream_gradient_;  // [N, C]
  device::Array<D, T> logits_;                                    // [chunk, V]
  device::Array<D, T> losses_;                                    // [N]
  device::Array<D, T> last_;                                      // [B, C]
  device::Array<D, Token> source_, target_;
  ops::TokenGroups<D> groups_;
  std::vector<Segment> segments_;  // in rows
};

}  // namespace demix
