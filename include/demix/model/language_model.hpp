#pragma once
// A language model as one object: a transformer, its weights, and a session.

#include <string>
#include <utility>
#include <vector>

#include "demix/model/initialize.hpp"
#include "demix/model/session.hpp"

namespace demix {

/// The convenient owner of all three, for one caller; whoever shares weights among several callers makes a
/// Transformer, Weights and a Session each. Not thread-safe.
template <device::Device D, Precision P, AttentionPolicy<D, P> Attention, NormPolicy<D, P> Norm,
          FeedForwardPolicy<D, P> FFN, ConditioningPolicy Conditioning>
class LanguageModel {
 public:
  using Network = Transformer<D, P, Attention, Norm, FFN, Conditioning>;
  using SessionType = Session<Network>;
  using DeviceType = D;
  using PrecisionType = P;
  using T = compute_t<P>;
  using Gradients = GradientArena<D, P>;
  using Cache = typename SessionType::Cache;
  using Use = typename Weights<D, P>::Use;
  static constexpr bool has_experts = Network::has_experts;
  static constexpr std::size_t prefix_length = Network::prefix_length;

  /// With values that are zero, to be loaded, and all experts. Throws like Transformer.
  LanguageModel(D& device, ModelConfig config, std::vector<std::string> domains, Use use = Use::training)
      : network_(device, std::move(config), std::move(domains)),
        weights_(device, network_.layout(), HeldExperts(network_.experts()), use),
        session_(device, network_, weights_) {}

  /// With these experts only. Text of other domains is an Error.
  LanguageModel(D& device, ModelConfig config, std::vector<std::string> domains, const HeldExperts& held)
      : network_(device, std::move(config), std::move(domains)),
        weights_(device, network_.layout(), held),
        session_(device, network_, weights_) {}

  /// With values that start from `seed`.
  LanguageModel(D& device, ModelConfig config, std::vector<std::string> domains, Seed seed)
      : LanguageModel(device, std::move(config), std::move(domains)) {
    initialize(device, layout(), seed, weights());
  }

  /// The session begins anew, without buffers. References to network(), weights() and session() of `other`
  /// do not follow.
  LanguageModel(LanguageModel&& other) noexcept  // NOLINT(bugprone-exception-escape): only without memory
      : network_(std::move(other.network_)),
        weights_(std::move(other.weights_)),
        session_(other.device(), network_, weights_) {}

  D& device() const { return session_.device(); }
  const Network& network() const { return network_; }
  Weights<D, P>& weights() { return weights_; }
  const Weights<D, P>& weights() const { return weights_; }
  SessionType& session() { return session_; }

  const ModelConfig& config() const { return network().config(); }
  ModelConfig dictionary_config() const { return network().dictionary_config(); }
  std::size_t dictionary_size() const { return network().dictionary_size(); }
  const std::vector<std::string>& domains() const { return network().domains(); }
  const ParameterLayout& layout() const { return network().layout(); }
  std::size_t text_length() const { return network().text_length(); }

  /// A zeroed arena for gradients.
  Gradients make_gradients() const { return Gradients(device(), layout(), weights().held()); }

  // What the session does:
  auto token_losses(const Batch& text) { return session().token_losses(text); }
  auto accumulate_gradients(const Batch& text, const ops::Dropout& dropout, Gradients& gradients) {
    return session().accumulate_gradients(text, dropout, gradients);
  }
  void accumulate_gradients(const Batch& text, const ops::Dropout& dropout, Gradients& gradients,
                            LossTotals<D>& totals) {
    session().accumulate_gradients(text, dropout, gradients, totals);
  }
  auto logits(const Batch& text) { return session().logits(text); }
  Cache make_cache(std::size_t sequences) const { return session_.make_cache(sequences); }
  auto token_losses(const Batch& text, Cache& cache) { return session().token_losses(text, cache); }
  auto next_logits(const Batch& text, Cache& cache) { return session().next_logits(text, cache); }

 private:
  Network network_;
  Weights<D, P> weights_;
  SessionType session_;
};

}  // namespace demix
