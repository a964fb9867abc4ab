#pragma once
// What evaluation, mixing and generation ask of a model, whatever its type, device and precision.

#include <concepts>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "demix/model/session.hpp"

namespace demix::eval {

/// A model that says how probable text is. Serves one thread. Numbers come in double, whatever they were
/// computed in; members that return them wait for the device.
class Scorer {
 public:
  /// The keys and values of sequences that were read (model/key_value_cache.hpp).
  class Cache {
   public:
    virtual ~Cache() = default;
    /// Sequence i becomes what sequences[i] was; sequences may be left out, repeated and reordered.
    virtual void keep(std::span<const std::size_t> sequences) = 0;
    /// Forgets everything read.
    virtual void clear() = 0;
  };

  virtual ~Scorer() = default;

  virtual const ModelConfig& config() const = 0;
  virtual const std::vector<std::string>& domains() const = 0;
  virtual bool has_experts() const = 0;
  /// Tokens in front of every text that say which domain it is of.
  virtual std::size_t prefix_length() const = 0;
  /// The longest text that it reads at once, in tokens.
  virtual std::size_t text_length() const = 0;

  /// Whether the domain of a text makes a difference.
  bool tells_domains_apart() const { return has_experts() || prefix_length() > 0; }

  /// -log p of every target of the batch, [B T] in its order, 0 where the target is ignored.
  virtual std::vector<double> token_losses(const Batch& text) = 0;
  /// The logits that follow each sequence's last token, [B, V], row-major.
  virtual std::vector<double> next_logits(const Batch& text) = 0;

  /// A cache of `sequences` sequences that have read nothing. Throws Error for a model whose attention cannot
  /// read a text in parts.
  virtual std::unique_ptr<Cache> make_cache(std::size_t sequences) const = 0;
  /// token_losses of a batch that continues the sequences of a cache that this model made. Throws Error for
  /// one that another model made.
  virtual std::vector<double> token_losses(const Batch& text, Cache& cache) = 0;
  /// next_logits of a batch that continues in the same way.
  virtual std::vector<double> next_logits(const Batch& text, Cache& cache) = 0;
};

/// A session as a Scorer.
template <class Network>
class SessionScorer final : public Scorer {
 public:
  /// `session` must outlive this.
  explicit SessionScorer(Session<Network>& session) : session_(session) {}

  const ModelConfig& config() const override { return network().config(); }
  const std::vector<std::string>& domains() const override { return network().domains(); }
  bool has_experts() const override { return Network::has_experts; }
  std::size_t prefix_length() const override { return Network::prefix_length; }
  std::size_t text_length() const override { return network().text_length(); }

  std::vector<double> token_losses(const Batch& text) override {
    return in_double(session_.token_losses(text));
  }
  std::vector<double> next_logits(const Batch& text) override {
    return in_double(session_.next_logits(text));
  }

  std::unique_ptr<Cache> make_cache([[maybe_unused]] std::size_t sequences) const override {
    if constexpr (reads_in_parts)
      return std::make_unique<SessionCache>(session_, sequences);
    else
      refuse();
  }
  std::vector<double> token_losses([[maybe_unused]] const Batch& text,
                                   [[maybe_unused]] Cache& cache) override {
    if constexpr (reads_in_parts)
      return in_double(session_.token_losses(text, own(cache)));
    else
      refuse();
  }
  std::vector<double> next_logits([[maybe_unused]] const Batch& text,
                                  [[maybe_unused]] Cache& cache) override {
    if constexpr (reads_in_parts)
      return in_double(session_.next_logits(text, own(cache)));
    else
      refuse();
  }

 private:
  using KeyValues = typename Session<Network>::Cache;
  static constexpr bool reads_in_parts =
      IncrementalAttentionPolicy<typename Network::Attention, typename Network::DeviceType,
                                 typename Network::PrecisionType>;

  struct SessionCache final : Cache {
    SessionCache(const Session<Network>& session, std::size_t sequences)
        : maker(&session), keys_values(session.make_cache(sequences)) {}
    void keep(std::span<const std::size_t> sequences) override { keys_values.keep(sequences); }
    void clear() override { keys_values.clear(); }
    const Session<Network>* maker;
    KeyValues keys_values;
  };

  const Network& network() const { return session_.network(); }

  KeyValues& own(Cache& cache) const {
    auto* const of_session = dynamic_cast<SessionCache*>(&cache);
    require(of_session != nullptr && of_session->maker == &session_,
            "a cache of keys and values that another model made");
    return of_session->keys_values;
  }

  [[noreturn]] static void refuse() {
    throw Error(
        "this model cannot read a text in parts, because its attention has no forward_cached: generate "
        "without a cache, and mix with all experts");
  }

  template <class T>
  static std::vector<double> in_double(std::vector<T> numbers) {
    if constexpr (std::same_as<T, double>)
      return numbers;
    else
      return {numbers.begin(), numbers.end()};
  }

  Session<Network>& session_;
};

}  // namespace demix::eval
