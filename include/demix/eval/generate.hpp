#pragma once
// Continuing texts by one expert, or by a mixture whose posterior every token updates.

#include <cmath>
#include <limits>
#include <span>
#include <string_view>
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

inline std::vector<std::span<const Token>> tokens_of(const std::vector<Text>& texts) {
  std::vector<std::span<const Token>> result;
  for (const Text& text : texts) result.emplace_back(text.tokens);
  return result;
}

/// log softmax of V logits of an expert, in double. Throws Error when they are not finite.
template <class T>
std::vector<double> log_softmax(const T* logits, std::size_t vocabulary, const std::string& expert) {
  std::vector<double> result(logits, logits + vocabulary);
  const double total = log_sum_exp(result);
  require(std::isfinite(total), "generating: the model's logits are not finite, as domain '", expert, "'");
  for (double& each : result) each -= total;
  return result;
}

/// log sum_j posterior_j p_j(v), [V], of the log posterior [E] and log p [E][V].
inline std::vector<double> mix(std::span<const double> log_posterior,
                               const std::vector<std::vector<double>>& log_p) {
  std::vector<double> result(log_p.front().size()), terms(log_p.size());
  for (std::size_t v = 0; v < result.size(); ++v) {
    for (std::size_t j = 0; j < terms.size(); ++j) terms[j] = log_posterior[j] + log_p[j][v];
    result[v] = log_sum_exp(terms);
  }
  return result;
}

}  // namespace generate_detail

/// Continues every prompt, all of them at once, and calls on_token(TextToken) for each: those of the prompts
/// first, then each other one when it is drawn. A text begins behind a </s>, as documents do. The next
/// token's distribution is
///
///   p(x_t | x_<t) = sum_j p(D = j | x_<t) p(x_t | x_<t, D = j),
///
/// the prompt counting in the posterior. A text depends on its prompt, its sample's number and the settings
/// alone: up to a model's rounding, other prompts and the cache do not change it. An expert whose prior is 0
/// is not computed. Throws Error for max_tokens 0 and when logits are not finite.
template <class Model, class OnToken>
void generate(Model& model, const GenerateSettings& settings, const Sampler& sampler,
              std::span<const Prompt> prompts, OnToken on_token) {
  using generate_detail::Text;
  require(settings.max_tokens > 0, "generating: 0 tokens were asked for");
  std::vector<std::size_t> asked;
  std::vector<DomainId> experts;
  std::vector<double> prior;
  for (std::size_t j = 0; j < settings.experts.size(); ++j) {
    if (!(settings.prior[j] > 0)) continue;
    asked.push_back(j);
    experts.push_back(settings.experts[j]);
    prior.push_back(settings.prior[j]);
  }
  std::vector<Text> texts;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    texts.push_back({i,
                     {eos_token},
                     {generate_detail::hash_of(prompts[i].tokens), prompts[i].sample, 0},
                     SequencePosterior(settings.over, prior)});
    texts.back().tokens.insert(texts.back().tokens.end(), prompts[i].tokens.begin(), prompts[i].tokens.end());
  }
  const auto of_all = [&](std::span<const double> posterior) {
    std::vector<double> result(settings.experts.size(), 0.0);
    for (std::size_t j = 0; j < asked.size(); ++j) result[asked[j]] = posterior[j];
    return result;
  };
  std::vector<std::size_t> read(texts.size(), 0);
  Contexts<Model> contexts(model, experts, texts.size(), settings.cache);
  contexts.read_prompts(
      generate_detail::tokens_of(texts), [&](std::size_t s, std::span<const double> losses) {
        SequencePosterior& posterior = texts[s].posterior;
        on_token(TextToken{s, prompts[s].tokens[read[s]++], of_all(posterior.posterior()), false, false});
        posterior.observe(losses);
      });
  while (!texts.empty()) {
    const auto logits = contexts.next_logits(generate_detail::tokens_of(texts));
    const std::size_t vocabulary = logits.size() / (experts.size() * texts.size());
    std::vector<std::size_t> unfinished;
    std::vector<Text> rest;
    for (std::size_t s = 0; s < texts.size(); ++s) {
      Text& text = texts[s];
      std::vector<std::vector<double>> log_p;
      for (std::size_t j = 0; j < experts.size(); ++j)
        log_p.push_back(generate_detail::log_softmax(logits.data() + (j * texts.size() + s) * vocabulary,
                                                     vocabulary, model.domains()[index(experts[j])]));
      const auto log_posterior = text.posterior.log_posterior();
      const Token token = sampler.draw(generate_detail::mix(log_posterior, log_p), text.next);
      std::vector<double> losses;
      for (const auto& each : log_p) losses.push_back(-each[static_cast<std::size_t>(token)]);
      text.posterior.observe(losses);
      text.tokens.push_back(token);
      ++text.next.position;
      const bool last =
          text.next.position == settings.max_tokens || (token == eos_token && settings.stop_at_document_end);
      on_token(TextToken{text.number, token, of_all(probabilities(log_posterior)), true, last});
      if (last) continue;
      unfinished.push_back(s);
      rest.push_back(std::move(text));
    }
    if (rest.size() < texts.size()) contexts.keep(unfinished);
    texts = std::move(rest);
  }
}

}  // namespace demix::eval
