#pragma once
// What a model needs at least, from its configuration alone: known before anything is allocated. Real
// numbers, which cannot wrap whatever a user or a damaged file says.

#include <cstddef>

#include "demix/core/types.hpp"
#include "demix/model/config.hpp"

namespace demix {

/// Parameters, at least, of a model of `experts` feed-forward layers per block.
inline double least_parameters(const ModelConfig& config, std::size_t experts) {
  const auto c = static_cast<double>(config.d_model), f = static_cast<double>(config.d_ffn),
             t = config.positions == Positions::learned ? static_cast<double>(config.tokens_per_sample) : 0.0;
  const double tables = (config.tied_embeddings ? 1 : 2) * static_cast<double>(config.vocabulary) * c + t * c;
  return tables + static_cast<double>(config.layers) * (4 * c * c + 2 * c * f * static_cast<double>(experts));
}

/// Bytes, at least, of so many numbers for each parameter, and of the table of fixed positions.
inline double least_model_bytes(const ModelConfig& config, std::size_t experts, std::size_t numbers = 1) {
  const double table =
      config.positions == Positions::sinusoidal
          ? static_cast<double>(config.tokens_per_sample) * static_cast<double>(config.d_model)
          : 0.0;
  return sizeof(float) * (static_cast<double>(numbers) * least_parameters(config, experts) + table);
}

/// Bytes, at least, of a batch of so many sequences and of what `blocks` blocks keep of it: all of them where
/// a backward pass follows, else one.
inline double least_batch_bytes(const ModelConfig& config, double sequences, std::size_t blocks) {
  const double kept = 8 * static_cast<double>(config.d_model) + static_cast<double>(config.d_ffn);
  return sequences * static_cast<double>(config.tokens_per_sample) *
         (2 * sizeof(Token) + sizeof(float) * static_cast<double>(blocks) * kept);
}

/// Bytes, at least, of a cache of keys and values for so many sequences.
inline double least_cache_bytes(const ModelConfig& config, double sequences) {
  return sequences * static_cast<double>(config.layers) * static_cast<double>(config.tokens_per_sample) * 2 *
         static_cast<double>(config.d_model) * sizeof(float);
}

}  // namespace demix
