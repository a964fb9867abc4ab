#pragma once
// What a run knows of itself besides the weights and the optimizer's state.

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

namespace demix::train {

struct Best {
  std::uint64_t step = 0;  // 0: none yet
  double average = std::numeric_limits<double>::infinity();

  friend bool operator==(const Best&, const Best&) = default;
};

struct RunState {
  std::uint64_t step = 0;    // updates done
  std::uint64_t tokens = 0;  // seen in them
  Best best;
  bool validation_due = false;                 // of the last update
  std::uint64_t validations_without_best = 0;  // in a row, up to the last one
  double seconds = 0;                          // of training, where a limit is set
  std::uint64_t warmup_ahead = 0;              // of optim::PolynomialDecay
};

/// As a checkpoint keeps it; the step is the checkpoint's own.
inline nlohmann::json to_json(const RunState& state) {
  return {{"tokens", state.tokens},
          {"best_average_perplexity", state.best.step ? state.best.average : 0},
          {"best_step", state.best.step},
          {"validation_due", state.validation_due},
          {"validations_without_best", state.validations_without_best},
          {"seconds", state.seconds},
          {"warmup_ahead", state.warmup_ahead}};
}

inline RunState run_state_of(const nlohmann::json& json, std::uint64_t step) {
  RunState state;
  state.step = step;
  state.tokens = json.at("tokens");
  state.best.step = json.at("best_step");
  if (state.best.step > 0) state.best.average = json.at("best_average_perplexity");
  state.validation_due = json.value("validation_due", false);
  state.validations_without_best = json.value("validations_without_best", std::uint64_t{0});
  state.seconds = json.value("seconds", 0.0);
  state.warmup_ahead = json.value("warmup_ahead", std::uint64_t{1});  // an older demix recorded none
  return state;
}

}  // namespace demix::train
