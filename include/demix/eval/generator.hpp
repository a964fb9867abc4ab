#pragma once
// Continuing texts by one expert, or by a mixture whose posterior every token updates.

#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demix/core/hash.hpp"
#include "demix/eval/context.hpp"
#include "demix/eval/mixture.hpp"
#include "demix/eval/sampler.hpp"

namespace demix::eval {

struct GenerateSettings {
  std::vector<DomainId> experts{DomainId{0}};  // E of the model's domains, all different
  std::vector<double> prior{1};                // [E], probabilities
  PosteriorOver over = default_posterior;
  std::size_t max_tokens = 200;      // of each text
  bool stop_at_document_end = true;  // </s> is a text's last token
  bool cache = true;                 // of keys and values; without, every token costs a whole context
};

/// The beginning of a text, and which of several continuations of it is meant.
struct Prompt {
  std::vector<Token> tokens;  // without </s> in front
  std::uint32_t sample = 0;
};

/// A token that was read from a prompt, or drawn.
struct TextToken {
  std::size_t text;               // the number of its prompt
  Token token;                    // </s> at the end of a document
  std::vector<double> posterior;  // [E], of before it: under which it was drawn
  bool drawn, last;               // not the prompt's; no other follows in its text
};

namespace generate_detail {

/// A text as it grows.
struct Text {
  std::size_t number;         // of its prompt
  std::vector<Token> tokens;  // </s>, the prompt, what was generated
  Draw next;                  // the random number of the next token
  SequencePosterior posterior;
};

inline std::uint32_t hash_of(std::span<const Token> tokens) {
  const std::uint64_t hash =
      fnv1a(std::string_view(reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes()));
  return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

/// log softmax of V logits of an expert, in double. Throws Error when they are not finite.
inline std::vector<double> log_softmax(const double* logits, std::size_t vocabulary,
                                       const std::string& expert) {
  std::vector<double> result(logits, logits + vocabulary);
  const double total = log_sum_exp(result);
  require(std::isfinite(total), "generating: the model's logits are not finite, as domain '", expert, "'");
  for (double& each : result) each -= total;
  return result;
}

/// log sum_j posterior_j p_j(v), [V], of the log posterior [E] and log p [E][V].
inline std::vector<double> mixed_log_p(std::span<const double> log_posterior,
                                       const std::vector<std::vector<double>>& log_p) {
  std::vector<double> result(log_p.front().size()), terms(log_p.size());
  for (std::size_t v = 0; v < result.size(); ++v) {
    for (std::size_t j = 0; j < terms.size(); ++j) terms[j] = log_posterior[j] + log_p[j][v];
    result[v] = log_sum_exp(terms);
  }
  return result;
}

}  // namespace generate_detail

/// Texts that continue their prompts, all of them at once, a token at a time. A text begins after a </s>, as
/// documents do. The next token's distribution is
///
///   p(x_t | x_<t) = sum_j p(D = j | x_<t) p(x_t | x_<t, D = j),
///
/// the prompt counting in the posterior. A text depends on its prompt, its sample's number and the settings
/// alone: up to a model's rounding, other prompts and the cache do not change it. An expert whose prior is 0
/// is not computed.
class Generator {
 public:
  /// `model` must outlive this. Throws Error for max_tokens 0, no experts, and a prior of another length.
  Generator(Scorer& model, GenerateSettings settings, Sampler sampler, std::span<const Prompt> prompts)
      : model_(model),
        settings_(checked(std::move(settings))),
        sampler_(std::move(sampler)),
        asked_(asked_of(settings_)),
        texts_(texts_of(settings_, prompts)),
        contexts_(model, asked_.experts, texts_.size(), settings_.cache) {}

  /// Whether no text goes on.
  bool finished() const { return texts_.empty(); }

  /// What comes next, in order: the first time the tokens of all prompts, where there is one that has any;
  /// then a token drawn for each text that goes on. None when all are finished. Throws Error when logits or
  /// losses are not finite.
  std::vector<TextToken> step() {
    if (!prompts_read_) {
      prompts_read_ = true;
      if (auto tokens = read_prompts(); !tokens.empty()) return tokens;
    }
    return finished() ? std::vector<TextToken>() : draw();
  }

 private:
  using Text = generate_detail::Text;

  /// The experts that are computed.
  struct Asked {
    std::vector<std::size_t> numbers;  // among the settings' experts
    std::vector<DomainId> experts;
    std::vector<double> prior;
  };

  static GenerateSettings checked(GenerateSettings settings) {
    require(settings.max_tokens > 0, "generating: 0 tokens were asked for");
    require(!settings.experts.empty() && settings.prior.size() == settings.experts.size(),
            "generating: ", settings.experts.size(), " experts with a prior of ", settings.prior.size(),
            " numbers");
    settings.prior = normalized_prior(settings.prior, settings.experts.size());
    return settings;
  }

  static Asked asked_of(const GenerateSettings& settings) {
    Asked asked;
    for (std::size_t j = 0; j < settings.experts.size(); ++j) {
      if (!(settings.prior[j] > 0)) continue;
      asked.numbers.push_back(j);
      asked.experts.push_back(settings.experts[j]);
      asked.prior.push_back(settings.prior[j]);
    }
    return asked;
  }

  std::vector<Text> texts_of(const GenerateSettings& settings, std::span<const Prompt> prompts) const {
    std::vector<Text> texts;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const auto& tokens = prompts[i].tokens;
      texts.push_back({i,
                       {eos_token},
                       {generate_detail::hash_of(tokens), prompts[i].sample, 0},
                       SequencePosterior(settings.over, asked_.prior)});
      texts.back().tokens.insert(texts.back().tokens.end(), tokens.begin(), tokens.end());
    }
    return texts;
  }

  std::vector<std::span<const Token>> tokens() const {
    std::vector<std::span<const Token>> result;
    for (const Text& text : texts_) result.emplace_back(text.tokens);
    return result;
  }

  /// Probabilities of the experts that are computed as those of all.
  std::vector<double> of_all(std::span<const double> posterior) const {
    std::vector<double> result(settings_.experts.size(), 0.0);
    for (std::size_t j = 0; j < asked_.numbers.size(); ++j) result[asked_.numbers[j]] = posterior[j];
    return result;
  }

  std::vector<TextToken> read_prompts() {
    std::vector<TextToken> result;
    std::vector<std::size_t> read(texts_.size(), 1);  // tokens of each text, its </s> first
    contexts_.read_prompts(tokens(), [&](std::size_t s, std::span<const double> losses) {
      Text& text = texts_[s];
      result.push_back({s, text.tokens[read[s]++], of_all(text.posterior.posterior()), false, false});
      text.posterior.observe(losses);
    });
    return result;
  }

  std::vector<TextToken> draw() {
    const std::size_t count = texts_.size(), experts = asked_.experts.size();
    const auto logits = contexts_.next_logits(tokens());
    const std::size_t vocabulary = logits.size() / (experts * count);
    std::vector<TextToken> result;
    std::vector<std::size_t> unfinished;
    std::vector<Text> rest;
    for (std::size_t s = 0; s < count; ++s) {
      Text& text = texts_[s];
      std::vector<std::vector<double>> log_p;
      for (std::size_t j = 0; j < experts; ++j)
        log_p.push_back(generate_detail::log_softmax(logits.data() + (j * count + s) * vocabulary, vocabulary,
                                                     model_.domains()[index(asked_.experts[j])]));
      const auto log_posterior = text.posterior.log_posterior();
      const Token token = sampler_.draw(generate_detail::mixed_log_p(log_posterior, log_p), text.next);
      std::vector<double> losses;
      for (const auto& each : log_p) losses.push_back(-each[static_cast<std::size_t>(token)]);
      text.posterior.observe(losses);
      text.tokens.push_back(token);
      ++text.next.position;
      const bool last = text.next.position == settings_.max_tokens ||
                        (token == eos_token && settings_.stop_at_document_end);
      result.push_back({text.number, token, of_all(probabilities(log_posterior)), true, last});
      if (last) continue;
      unfinished.push_back(s);
      rest.push_back(std::move(text));
    }
    if (rest.size() < count) contexts_.keep(unfinished);
    texts_ = std::move(rest);
    return result;
  }

  Scorer& model_;
  const GenerateSettings settings_;
  const Sampler sampler_;
  const Asked asked_;
  std::vector<Text> texts_;  // those that go on
  Contexts contexts_;
  bool prompts_read_ = false;
};

}  // namespace demix::eval
