#pragma once
// What a training run is told, apart from the architecture.

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "demix/core/types.hpp"
#include "demix/data/batcher.hpp"
#include "demix/model/parameter_layout.hpp"
#include "demix/optim/adam.hpp"

namespace demix::train {

/// What validation scores.
struct ValidationSettings {
  std::vector<std::string> domains;  // empty: all that are trained
  std::size_t batch_size = 0;        // sequences; 0: about 2048 tokens
  std::size_t max_batches = 0;       // per domain; 0: the whole split
};

/// A checkpoint that a new run begins with.
struct Start {
  std::filesystem::path checkpoint;
  bool continues = false;  // its run, with the optimizer's state and the number of updates; else the weights
};

struct Settings {
  std::string experiment;  // dense, unbalanced, domain_token, demix, or a user's own
  data::Sampling sampling = data::Sampling::balanced;

  std::size_t batch_size = 2;   // sequences per domain in a micro-batch
  std::size_t update_freq = 8;  // micro-batches per update
  std::uint64_t max_update = 0;
  double learning_rate = 5e-4;
  std::uint64_t warmup_updates = 0;
  std::optional<std::uint64_t> total_num_update;  // where the learning rate's decay ends; none: max_update
  double end_learning_rate = 0;
  double power = 1;        // of the decay
  double clip_norm = 0.1;  // 0: no clipping
  optim::AdamSettings adam;
  Seed seed;
  InitialValues initial_values = default_initial_values;  // of a new model

  bool validates = true;
  std::uint64_t validate_interval = 0;  // updates; the end of training, and every save_interval, validate too
  ValidationSettings validation;
  bool saves = true;
  std::uint64_t save_interval = 0;   // updates; the end of training saves too
  std::size_t keep_checkpoints = 1;  // the newest ones that stay, besides the best; 0: all
  std::uint64_t log_interval = 10;   // updates

  std::uint64_t patience = 0;  // validations in a row without a new best that end the run; 0: any number
  double max_seconds = 0;      // of training, all parts of the run together, that end it; 0: any time

  std::filesystem::path save_dir;
  std::optional<Start> start;  // read where save_dir has no checkpoint yet
};

/// What a run that trains a part of a trained model adds to its settings.
struct Adaptation {
  std::vector<optim::ParameterSpan> trained;  // all other parameters keep their bits
  nlohmann::json facts;                       // a resumed run must have the same
  bool experts_apart = false;                 // UpdateSettings::experts_apart
  /// The number that each of the run's domains has in the run that this is a part of, which decides what is
  /// drawn for it; empty: the run is a whole one.
  std::vector<std::size_t> numbers = {};
};

/// What must not change between the parts of a resumed run, for it to equal an unbroken one. The number of
/// ranks may: with `replicas` of them on a domain an update has so many times the micro-batches of one.
/// `optimizer` are the facts of its settings, and `adaptation` those of an adaptation, or null.
inline nlohmann::json settings_for_resume(const Settings& settings, std::size_t replicas,
                                          const optim::NamedNumbers& optimizer,
                                          const nlohmann::json& adaptation) {
  nlohmann::json result{{"lr", settings.learning_rate},
                        {"warmup-updates", settings.warmup_updates},
                        {"max-update", settings.max_update},
                        {"batch-size", settings.batch_size},
                        {"update-freq", settings.update_freq * replicas},
                        {"clip-norm", settings.clip_norm},
                        {"seed", settings.seed.value}};
  // An older demix had none of these: at their defaults they are not recorded.
  if (settings.total_num_update.value_or(settings.max_update) != settings.max_update)
    result["total-num-update"] = *settings.total_num_update;
  if (settings.end_learning_rate != 0) result["end-learning-rate"] = settings.end_learning_rate;
  if (settings.power != 1) result["power"] = settings.power;
  if (settings.initial_values != default_initial_values) result["init"] = "fairseq";
  for (const auto& [name, numbers] : optimizer)
    result[name] = numbers.size() == 1 ? nlohmann::json(numbers.front()) : nlohmann::json(numbers);
  if (!adaptation.is_null()) result["adaptation"] = adaptation;
  return result;
}

/// The recipe of an architecture for what the command line leaves open (updates between validations and
/// saves).
struct Recipe {
  std::uint64_t max_update, validate_interval, save_interval;
};

inline Recipe recipe(const std::string& arch) {
  if (arch == "transformer_lm_gpt3_small") return {300000, 3000, 6000};
  if (arch == "transformer_lm_gpt3_medium") return {120000, 2000, 3000};
  if (arch == "transformer_lm_gpt3_large") return {65000, 1000, 2000};
  if (arch == "transformer_lm") return {5000, 500, 5000};
  return {50000, 500, 2000};  // xl, and the larger ones, for which no recipe was published
}

}  // namespace demix::train
