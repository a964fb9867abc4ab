#pragma once
// The options that the trainers and demix-adapt share: data, optimization, run. Names of the original where
// it has the concept.

#include <algorithm>
#include <array>
#include <map>
#include <string>

#include "demix/core/checked_size.hpp"
#include "demix/program/command_line.hpp"
#include "demix/train/settings.hpp"

namespace demix::program {

/// "(0.9, 0.95)", "0.9,0.95" or "0.9 0.95".
inline std::array<double, 2> parse_betas(const std::string& text) {
  const auto betas = parse_reals(text);
  const auto is_beta = [](double beta) { return beta >= 0 && beta < 1; };
  if (!betas || betas->size() != 2 || !std::all_of(betas->begin(), betas->end(), is_beta))
    throw UsageError(
        concat("--adam-betas: expected two numbers in [0, 1) such as \"(0.9, 0.95)\", found '", text, "'"));
  return {betas->front(), betas->back()};
}

/// How --help prints the defaults that differ between programs.
struct DefaultTexts {
  std::string learning_rate, max_update, interval;
};

/// Other names of shared options, of fairseq.
inline const std::map<std::string, std::string> shared_aliases{{"max-sentences", "batch-size"},
                                                               {"max-sentences-valid", "batch-size-valid"}};

/// Declares the shared options in groups, to which a program adds its own, and reads them into Settings.
class SharedOptions {
 public:
  boost::program_options::options_description data{"Data", help_columns},
      optimization{"Optimization", help_columns}, run{"Run", help_columns};

  /// `settings` has the defaults, and must outlive this object.
  SharedOptions(train::Settings& settings, const DefaultTexts& defaults) : settings_(settings) {
    using namespace option;
    train::Settings& s = settings_;
    const std::string
        max_update_text = "updates to train for (default: " + defaults.max_update + ")",
        validate_text =
            "updates between validations; 0: at the end only (default: " + defaults.interval + ")",
        save_text = "updates between checkpoints, each with a validation; 0: at the end only (default: " +
                    defaults.interval + ")";
    // clang-format off
    data.add_options()
      ("data", po::value<std::string>()->required()->value_name("DIR"), "the data-bin folder (also the first argument)")
      ("batch-size", count(s.batch_size, 1)->default_value(s.batch_size), "sequences per domain in a micro-batch; also --max-sentences")
      ("batch-size-valid", count(s.validation.batch_size, 1), "sequences of a batch of validation (default: about 2048 tokens)")
      ("max-valid-steps", count(s.validation.max_batches)->default_value(s.validation.max_batches), "batches of validation per domain; 0: all");
    optimization.add_options()
      ("lr", positive(s.learning_rate)->default_value(s.learning_rate, defaults.learning_rate), "peak learning rate")
      ("warmup-updates", count(warmup_), "updates of linear warm-up (default: 8 % of --max-update)")
      ("max-update", count(max_update_, 1), max_update_text.c_str())
      ("total-num-update", count(total_num_update_, 1), "updates, warm-up among them, after which the learning rate has decayed (default: --max-update)")
      ("end-learning-rate", not_negative(s.end_learning_rate)->default_value(s.end_learning_rate), "learning rate to decay to")
      ("power", not_negative(s.power)->default_value(s.power), "of the decay; 1: linear")
      ("update-freq", count(s.update_freq, 1)->default_value(s.update_freq), "micro-batches per update")
      ("clip-norm", not_negative(s.clip_norm)->default_value(s.clip_norm, "0.1"), "largest gradient norm; 0: no clipping")
      ("adam-betas", string(betas_, "(B1, B2)")->default_value("(0.9, 0.95)"), "Adam's decay rates")
      ("adam-eps", positive(s.adam.eps)->default_value(s.adam.eps, "1e-7"), "Adam's epsilon")
      ("weight-decay", not_negative(s.adam.weight_decay)->default_value(s.adam.weight_decay, "0.1"), "decoupled, on all parameters that are trained");
    run.add_options()
      ("save-dir", po::value<std::string>()->required()->value_name("DIR"), "folder of checkpoints and metrics.jsonl; "
       "when it holds a checkpoint of this run, training continues from the newest")
      ("seed", seed(s.seed.value)->default_value(s.seed.value), "of shuffling, dropout and a new model's start")
      ("disable-validation", po::bool_switch(&disable_validation_), "no validation, so no checkpoint_best either")
      ("patience", count(s.patience), "end after so many validations in a row without a new best average; 0: never (default)")
      ("stop-time-hours", not_negative(stop_hours_), "end after so many hours of training, all parts of the run together; 0: never (default)")
      ("validate-interval-updates", count(validate_interval_), validate_text.c_str())
      ("save-interval-updates", count(save_interval_), save_text.c_str())
      ("keep-interval-updates", count(s.keep_checkpoints)->default_value(s.keep_checkpoints), "checkpoints to keep besides the best; 0: all")
      ("log-interval", count(s.log_interval, 1)->default_value(s.log_interval), "updates between lines of metrics.jsonl")
      ("threads", option::threads(threads_), "processor threads of each process (default: OMP_NUM_THREADS, or all, shared out among the processes of a machine)");
    // clang-format on
  }
  SharedOptions(const SharedOptions&) = delete;
  SharedOptions& operator=(const SharedOptions&) = delete;

  /// Checks what was parsed and completes the settings. `preset` is for what the command line leaves open.
  /// Throws UsageError.
  void read(const boost::program_options::variables_map& values, const train::Recipe& preset) {
    train::Settings& s = settings_;
    const auto given_or = [&](const char* name, std::uint64_t given, std::uint64_t other) {
      return values.count(name) ? given : other;
    };
    s.save_dir = values["save-dir"].as<std::string>();
    s.max_update = given_or("max-update", max_update_, preset.max_update);
    s.warmup_updates =
        given_or("warmup-updates", warmup_, s.max_update / 100 * 8 + s.max_update % 100 * 8 / 100);
    if (values.count("total-num-update")) s.total_num_update = total_num_update_;
    require_decay();
    checked_product<UsageError>("micro-batches of the run, --max-update times --update-freq", s.max_update,
                                s.update_freq);
    s.validate_interval = given_or("validate-interval-updates", validate_interval_, preset.validate_interval);
    s.save_interval = given_or("save-interval-updates", save_interval_, preset.save_interval);
    s.validates = !disable_validation_;
    if (s.patience > 0 && !s.validates)
      throw UsageError("--patience counts validations, and --disable-validation has none");
    s.max_seconds = stop_hours_ * 3600;
    const auto [beta1, beta2] = parse_betas(betas_);
    s.adam.beta1 = beta1;
    s.adam.beta2 = beta2;
  }

  /// How many threads compute. Throws UsageError like option::thread_count.
  int threads(int sharers) const { return option::thread_count(threads_, sharers); }

 private:
  /// Throws UsageError unless the learning rate can decay as it is asked to.
  void require_decay() const {
    const train::Settings& s = settings_;
    const std::uint64_t total = s.total_num_update.value_or(s.max_update);
    if (s.warmup_updates >= total)
      throw UsageError(concat("--warmup-updates ", s.warmup_updates, " is not below ",
                              s.total_num_update ? "--total-num-update " : "--max-update ", total));
    if (s.end_learning_rate > s.learning_rate)
      throw UsageError(
          concat("--end-learning-rate ", s.end_learning_rate, " is above --lr ", s.learning_rate));
    if (total < s.max_update && s.end_learning_rate == 0)
      throw UsageError(
          concat("--total-num-update ", total, " is below --max-update ", s.max_update,
                 ", and the updates between them would change nothing: --end-learning-rate is 0"));
  }

  train::Settings& settings_;
  std::string betas_;
  bool disable_validation_ = false;
  double stop_hours_ = 0;
  std::size_t max_update_ = 0, total_num_update_ = 0, warmup_ = 0, validate_interval_ = 0, save_interval_ = 0;
  int threads_ = 0;
};

}  // namespace demix::program
