#pragma once
// A language model as one object: a transformer, its weights, and a session.

#include <memory>
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
      : parts_(std::make_unique<Parts>(device, std::move(config), std::move(domains), use)) {}

  /// With these experts only. Text of other domains is an Error.
  LanguageModel(D& device, ModelConfig config, std::vector<std::string> domains, const HeldExperts& held)
      : parts_(std::make_unique<Parts>(device, std::move(config), std::move(domains), held)) {}

  /// With values that start from `seed`.
  LanguageModel(D& device, ModelConfig config, std::vector<std::string> domains, Seed seed)
      : LanguageModel(device, std::move(config), std::move(domains)) {
    initialize(device, layout(), seed, weights());
  }

  D& device() const { return parts_->session.device(); }
  const Network& network() const { return parts_->network; }
  Weights<D, P>& weights() { return parts_->weights; }
  const Weights<D, P>& weights() const { return parts_->weights; }
  SessionType& session() { return parts_->session; }

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
  Cache make_cache(std::size_t sequences) const { return parts_->session.make_cache(sequences); }
  auto token_losses(const Batch& text, Cache& cache) { return session().token_losses(text, cache); }
  auto next_logits(const Batch& text, Cache& cache) { return session().next_logits(text, cache); }

 private:
  /// Where the session finds its parts, also when the model is moved.
  struct Parts {
    template <class What>
    Parts(D& device, ModelConfig config, std::vector<std::string> domains, const What& what)
        : network(device, std::move(config), std::move(domains)),
          weights(make_weights(device, network, what)),
          session(device, network, weights) {}

    static Weights<D, P> make_weights(D& device, const Network& network, Use use) {
      return {device, network.layout(), HeldExperts(network.experts()), use};
    }
    static Weights<D, P> make_weights(D& device, const Network& network, const HeldExperts& held) {
      return {device, network.layout(), held};
    }

    Network network;
    Weights<D, P> weights;
    SessionType session;
  };

  std::unique_ptr<Parts> parts_;
};

}  // namespace demix
