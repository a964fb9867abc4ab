#pragma once
// The architecture of a model, and the named ones.

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/names.hpp"

namespace demix {

/// none: of the tokens alone; where they stand is then the attention's business (positions by rotation).
enum class Positions { learned, sinusoidal, none };

inline const char* name_of(Positions positions) {
  switch (positions) {
    case Positions::learned:
      return "learned";
    case Positions::sinusoidal:
      return "sinusoidal";
    case Positions::none:
      return "none";
  }
  return "";
}

/// The names of all kinds of positions.
inline std::vector<std::string> positions_names() { return {"learned", "sinusoidal", "none"}; }

/// Throws UsageError, which begins with `what`, for another name.
inline Positions positions_of(const std::string& what, const std::string& name) {
  require_one_of(what, name, positions_names());
  return name == "learned" ? Positions::learned : name == "none" ? Positions::none : Positions::sinusoidal;
}

struct ModelConfig {
  std::size_t layers = 6;
  std::size_t d_model = 512;            // C
  std::size_t heads = 8;                // H
  std::size_t d_ffn = 2048;             // F
  std::size_t vocabulary = 0;           // V: the dictionary and what the conditioning adds to it
  std::size_t tokens_per_sample = 128;  // T
  std::string activation;               // of the feed-forward layers; empty: what the model's type has
  Positions positions = Positions::sinusoidal;
  bool tied_embeddings = false;  // input embedding and output projection are one matrix
  float dropout = 0.1f;

  std::size_t head_dim() const { return d_model / heads; }

  /// All of it in one line: what error messages compare.
  std::string describe() const {
    return concat("layers=", layers, " d-model=", d_model, " heads=", heads, " d-ffn=", d_ffn,
                  " vocabulary=", vocabulary, " tokens-per-sample=", tokens_per_sample,
                  " activation=", activation, " positions=", name_of(positions),
                  " tied-embeddings=", tied_embeddings, " dropout=", dropout);
  }

  /// Throws UsageError for a combination that is not a model.
  void validate() const {
    const auto check = [](bool ok, const auto&... parts) {
      if (!ok) throw UsageError(concat(parts...));
    };
    check(layers && d_model && heads && d_ffn && tokens_per_sample,
          "layers, d_model, heads, d_ffn and tokens_per_sample must be positive");
    check(d_model % heads == 0, "d_model ", d_model, " is not a multiple of heads ", heads);
    check(positions != Positions::sinusoidal || (d_model % 2 == 0 && d_model > 2),
          "sinusoidal positions need an even d_model above 2, not ", d_model);
    check(dropout >= 0 && dropout < 1, "dropout ", dropout, " is not in [0, 1)");
  }
};

/// A named architecture with the recipe's context length.
struct ArchitecturePreset {
  std::string_view name;
  std::size_t layers, d_model, heads, d_ffn, tokens_per_sample;
};

inline constexpr std::array architecture_presets{
    ArchitecturePreset{"transformer_lm", 6, 512, 8, 2048, 128},
    ArchitecturePreset{"transformer_lm_gpt3_small", 12, 768, 12, 3072, 1024},
    ArchitecturePreset{"transformer_lm_gpt3_medium", 24, 1024, 16, 4096, 1024},
    ArchitecturePreset{"transformer_lm_gpt3_large", 24, 1536, 16, 6144, 1024},
    ArchitecturePreset{"transformer_lm_gpt3_xl", 24, 2048, 32, 8192, 1024},
    ArchitecturePreset{"transformer_lm_gpt3_2_7", 32, 2560, 32, 10240, 1024},
    ArchitecturePreset{"transformer_lm_gpt3_6_7", 32, 4096, 32, 16384, 1024},
    ArchitecturePreset{"transformer_lm_gpt3_13", 40, 5120, 40, 20480, 1024},
    ArchitecturePreset{"transformer_lm_gpt3_175", 96, 12288, 96, 49152, 1024},
};

inline std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const auto& preset : architecture_presets) names.emplace_back(preset.name);
  return names;
}

/// The configuration of a named architecture, without a vocabulary. Throws UsageError for an unknown name.
inline ModelConfig architecture(const std::string& name) {
  require_one_of("architecture", name, architecture_names());
  for (const auto& preset : architecture_presets)
    if (preset.name == name) {
      ModelConfig config;
      config.layers = preset.layers;
      config.d_model = preset.d_model;
      config.heads = preset.heads;
      config.d_ffn = preset.d_ffn;
      config.tokens_per_sample = preset.tokens_per_sample;
      config.activation = name == "transformer_lm" ? "relu" : "gelu";
      if (name != "transformer_lm") {
        config.positions = Positions::learned;
        config.tied_embeddings = true;
        config.dropout = 0;
      }
      return config;
    }
  throw Error("unreachable: the preset was found a line above");
}

}  // namespace demix
