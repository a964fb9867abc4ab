#pragma once
// The options that the trainers and demix-adapt share: data, optimization, run. Names of the original where
// it has the concept.

#include <omp.h>

#include <array>
#include <sstream>
#include <string>

#include "demix/core/options.hpp"
#include "demix/train/settings.hpp"

namespace demix::train {

/// "(0.9, 0.95)", "0.9,0.95" or "0.9 0.95".
inline std::array<double, 2> parse_betas(std::string text) {
  for (char& c : text)
    if (c == '(' || c == ')' || c == ',') c = ' ';
  std::istringstream in(text);
  std::array<double, 2> betas{};
  std::string rest;
  if (!(in >> betas[0] >> betas[1]) || in >> rest || betas[0] < 0 || betas[0] >= 1 || betas[1] < 0 ||
      betas[1] >= 1)
    throw UsageError(
        concat("--adam-betas: expected two numbers in [0, 1) such as \"(0.9, 0.95)\", found '", text, "'"));
  return betas;
}

namespace option {
namespace po = boost::program_options;

inline auto* text(std::string& variable, const char* name) {
  return po::value<std::string>(&variable)->value_name(name);
}
inline auto* count(std::int64_t& variable) { return po::value<std::int64_t>(&variable)->value_name("N"); }
inline auto* real(double& variable) { return po::value<double>(&variable)->value_name("X"); }
}  // namespace option

/// How --help prints the defaults that differ between programs.
struct DefaultTexts {
  std::string learning_rate, max_update, interval;
};

/// Declares the shared options in groups, to which a program adds its own, and reads them into Settings.
class SharedOptions {
 public:
  boost::program_options::options_description data{"Data", help_columns},
      optimization{"Optimization", help_columns}, run{"Run", help_columns};

  /// `settings` has the defaults, and must outlive this object.
  SharedOptions(Settings& settings, const DefaultTexts& defaults) : settings_(settings) {
    using namespace option;
    Settings& s = settings_;
    const std::string max_update_text =
                          "updates to train for; the learning rate decays linearly to its end (default: " +
                          defaults.max_update + ")",
                      validate_text =
                          "updates between validations; 0: at the end only (default: " + defaults.interval +
                          ")",
                      save_text =
                          "updates between checkpoints; 0: at the end only (default: " + defaults.interval +
                          ")";
    // clang-format off
    data.add_options()
      ("data", po::value<std::string>()->required()->value_name("DIR"), "the data-bin folder (also the first argument)")
      ("batch-size", count(batch_size_)->default_value(batch_size_), "sequences per domain in a micro-batch")
      ("max-valid-steps", count(max_valid_)->default_value(max_valid_), "batches of validation per domain; 0: all");
    optimization.add_options()
      ("lr", real(s.learning_rate)->default_value(s.learning_rate, defaults.learning_rate), "peak learning rate")
      ("warmup-updates", count(warmup_), "updates of linear warm-up (default: 8 % of --max-update)")
      ("max-update", count(max_update_), max_update_text.c_str())
      ("update-freq", count(update_freq_)->default_value(update_freq_), "micro-batches per update")
      ("clip-norm", real(s.clip_norm)->default_value(s.clip_norm, "0.1"), "largest gradient norm; 0: no clipping")
      ("adam-betas", text(betas_, "(B1, B2)")->default_value("(0.9, 0.95)"), "Adam's decay rates")
      ("adam-eps", real(s.adam.eps)->default_value(s.adam.eps, "1e-7"), "Adam's epsilon")
      ("weight-decay", real(s.adam.weight_decay)->default_value(s.adam.weight_decay, "0.1"), "decoupled, on all parameters that are trained");
    run.add_options()
      ("save-dir", po::value<std::string>()->required()->value_name("DIR"), "folder of checkpoints and metrics.jsonl; "
       "when it holds a checkpoint of this run, training continues from the newest")
      ("seed", po::value<std::uint64_t>(&s.seed.value)->default_value(1)->value_name("N"), "of shuffling, dropout and a new model's start")
      ("validate-interval-updates", count(validate_interval_), validate_text.c_str())
      ("save-interval-updates", count(save_interval_), save_text.c_str())
      ("keep-interval-updates", count(keep_)->default_value(keep_), "checkpoints to keep besides the best; 0: all")
      ("log-interval", count(log_interval_)->default_value(log_interval_), "updates between lines of metrics.jsonl")
      ("threads", count(threads_), "processor threads (default: OMP_NUM_THREADS, or all)");
    // clang-format on
  }
  SharedOptions(const SharedOptions&) = delete;
  SharedOptions& operator=(const SharedOptions&) = delete;

  /// Checks what was parsed and completes the settings. `preset` is for what the command line leaves open.
  /// Throws UsageError.
  void read(const boost::program_options::variables_map& values, const Recipe& preset) {
    Settings& s = settings_;
    const auto given_or = [&](const char* name, std::int64_t given, std::int64_t least, std::uint64_t other) {
      return values.count(name) ? require_at_least(concat("--", name), given, least) : other;
    };
    s.save_dir = values["save-dir"].as<std::string>();
    s.max_update = given_or("max-update", max_update_, 1, preset.max_update);
    s.warmup_updates = given_or("warmup-updates", warmup_, 0, s.max_update * 8 / 100);
    if (s.warmup_updates >= s.max_update)
      throw UsageError(
          concat("--warmup-updates ", s.warmup_updates, " is not below --max-update ", s.max_update));
    s.validate_interval =
        given_or("validate-interval-updates", validate_interval_, 0, preset.validate_interval);
    s.save_interval = given_or("save-interval-updates", save_interval_, 0, preset.save_interval);
    s.batch_size = require_at_least("--batch-size", batch_size_, 1);
    s.update_freq = require_at_least("--update-freq", update_freq_, 1);
    s.keep_checkpoints = require_at_least("--keep-interval-updates", keep_, 0);
    s.max_valid_batches = require_at_least("--max-valid-steps", max_valid_, 0);
    s.log_interval = require_at_least("--log-interval", log_interval_, 1);
    if (!(s.learning_rate > 0) || !(s.clip_norm >= 0) || !(s.adam.eps > 0) || !(s.adam.weight_decay >= 0))
      throw UsageError("--lr and --adam-eps must be positive, --clip-norm and --weight-decay not negative");
    const auto [beta1, beta2] = parse_betas(betas_);
    s.adam.beta1 = beta1;
    s.adam.beta2 = beta2;
    if (values.count("threads"))
      omp_set_num_threads(static_cast<int>(require_at_least("--threads", threads_, 1)));
  }

 private:
  Settings& settings_;
  std::string betas_;
  std::int64_t batch_size_ = 2, update_freq_ = 8, max_update_ = 0, warmup_ = 0, validate_interval_ = 0,
               save_interval_ = 0, keep_ = 1, max_valid_ = 0, log_interval_ = 10, threads_ = 0;
};

}  // namespace demix::train
