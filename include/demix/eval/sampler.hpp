#pragma once
// Choosing the next token of a text.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/philox.hpp"

namespace demix::eval {

/// What is done to the distribution before a token is drawn, in this order.
struct SamplerSettings {
  double temperature = 1;  // p^(1/temperature); 0: always the most probable token
  std::size_t top_k = 0;   // among the k most probable tokens; 0: all
  double top_p = 1;        // among the most probable ones that together have top_p (Holtzman et al. 2020)
  Seed seed;
};

/// Which random number is meant: a draw is a function of the seed and this alone.
struct Draw {
  std::uint32_t text = 0, sample = 0, position = 0;
};

/// Draws tokens. Of equally probable tokens the one with the lower id comes first, so that top-k keeps k.
class Sampler {
 public:
  /// `allowed` [V] says which tokens can be drawn. Throws UsageError for settings that make no sense, and
  /// Error when no token is allowed.
  Sampler(SamplerSettings settings, std::vector<bool> allowed)
      : settings_(settings), allowed_(std::move(allowed)) {
    if (!std::isfinite(settings.temperature) || settings.temperature < 0)
      throw UsageError(concat("temperature ", settings.temperature, " is not a number from 0 up"));
    if (!(settings.top_p > 0 && settings.top_p <= 1))
      throw UsageError(concat("top_p ", settings.top_p, " is not in (0, 1]"));
    require(std::find(allowed_.begin(), allowed_.end(), true) != allowed_.end(),
            "sampling: no token of the vocabulary may be drawn");
  }

  /// A token of the distribution log p [V or more], which need not be normalised; minus infinity is never
  /// drawn. O(V), with top-p O(V log V). Throws Error when no allowed token has a finite log p.
  Token draw(std::span<const double> log_p, const Draw& which) const {
    std::vector<Token> tokens;
    for (std::size_t v = 0; v < allowed_.size(); ++v)
      if (allowed_[v] && std::isfinite(log_p[v])) tokens.push_back(static_cast<Token>(v));
    require(!tokens.empty(), "sampling: the model gives no token a finite probability");
    const auto p = [&](Token v) { return log_p[static_cast<std::size_t>(v)]; };
    const auto before = [&](Token a, Token b) { return p(a) > p(b) || (p(a) == p(b) && a < b); };
    const Token best = *std::min_element(tokens.begin(), tokens.end(), before);
    if (settings_.temperature == 0) return best;
    if (settings_.top_k > 0 && settings_.top_k < tokens.size()) {
      const auto end = tokens.begin() + static_cast<std::ptrdiff_t>(settings_.top_k);
      std::nth_element(tokens.begin(), end, tokens.end(), before);
      tokens.erase(end, tokens.end());
    }
    if (settings_.top_p < 1) {
      std::sort(tokens.begin(), tokens.end(), before);
      std::vector<double> weights;
      for (const Token v : tokens) weights.push_back(std::exp((p(v) - p(best)) / settings_.temperature));
      double missing = settings_.top_p * std::accumulate(weights.begin(), weights.end(), 0.0);
      std::size_t kept = 0;
      while (missing > 0 && kept < tokens.size()) missing -= weights[kept++];
      tokens.resize(kept);
    }
    // The highest of log p + Gumbel noise (Gumbel 1954) is distributed as p. A model's rounding errors seldom
    // change which it is; a random number on the scale of all p summed up would meet thousands of borders.
    const PhiloxWords key = philox(settings_.seed, which.position, which.sample, which.text,
                                   static_cast<std::uint32_t>(RandomStream::sampling));
    Token drawn = best;
    double highest = -std::numeric_limits<double>::infinity();
    for (const Token v : tokens)
      if (const double value = (p(v) - p(best)) / settings_.temperature + gumbel(key, v); value > highest) {
        highest = value;
        drawn = v;
      }
    return drawn;
  }

 private:
  /// -log(-log(u)) with u uniform in (0, 1), 52 bits, for token v of a draw.
  static double gumbel(const PhiloxWords& key, Token v) {
    const Seed seed{key.word[0] | static_cast<std::uint64_t>(key.word[1]) << 32};
    const auto random = philox(seed, static_cast<std::uint32_t>(v), key.word[2], key.word[3], 0);
    const double bits = static_cast<double>(random.word[0] >> 6) * 67108864.0 + (random.word[1] >> 6);
    return -std::log(-std::log(std::ldexp(bits + 0.5, -52)));
  }

  SamplerSettings settings_;
  std::vector<bool> allowed_;
};

}  // namespace demix::eval
