#pragma once
// Whether what the options ask for fits into memory, before anything is allocated.

#include <cstddef>
#include <string>
#include <utility>

#include "demix/core/checked_size.hpp"
#include "demix/core/memory_limit.hpp"
#include "demix/model/memory.hpp"
#include "demix/train/settings.hpp"

namespace demix::program {

/// Throws UsageError, with the option that has the greatest share in it, where training on so many domains,
/// with so many numbers per parameter (a value, a gradient, Adam's two moments), needs more memory than there
/// is; also where an update's tokens are too many to count. Where the architecture is given, no option but
/// --batch-size is named.
inline void require_memory_for_training(const ModelConfig& config, const train::Settings& settings,
                                        std::size_t domains, std::size_t experts, std::size_t numbers = 4,
                                        bool given_architecture = false) {
  const auto need = [&](const ModelConfig& c, std::size_t batch_size) {
    return least_model_bytes(c, experts, numbers) +
           least_batch_bytes(c, static_cast<double>(domains) * static_cast<double>(batch_size), c.layers);
  };
  constexpr std::pair<const char*, std::size_t ModelConfig::*> sizes[] = {
      {"--layers ", &ModelConfig::layers},
      {"--d-model ", &ModelConfig::d_model},
      {"--d-ffn ", &ModelConfig::d_ffn},
      {"--tokens-per-sample ", &ModelConfig::tokens_per_sample}};
  std::string option = concat("--batch-size ", settings.batch_size);
  double least = need(config, 1);
  for (const auto& [name, member] : sizes) {
    ModelConfig without = config;
    without.*member = 1;
    if (const double rest = need(without, settings.batch_size); rest < least) {
      least = rest;
      option = given_architecture ? std::string("the checkpoint's model") : concat(name, config.*member);
    }
  }
  require_memory<UsageError>(need(config, settings.batch_size), option, ": training");
  checked_product<UsageError>(
      "tokens of an update: domains, --batch-size, --update-freq and --tokens-per-sample", domains,
      settings.batch_size, settings.update_freq, config.tokens_per_sample);
}

}  // namespace demix::program
