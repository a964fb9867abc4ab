#pragma once
// The command line of a trainer: names of the original where it has the concept.

#include <omp.h>

#include <array>
#include <string>
#include <vector>

#include "demix/core/options.hpp"
#include "demix/model/config.hpp"
#include "demix/train/settings.hpp"

namespace demix::train {

/// All a trainer program is told.
struct RunOptions {
  std::filesystem::path data;
  std::vector<std::string> train_domains;  // empty: all domains of the data
  ModelConfig config;                      // without a vocabulary
  Settings settings;
};

/// "a,b,c" without empty items. Throws UsageError for an empty item.
inline std::vector<std::string> split_list(const std::string& option, const std::string& text) {
  std::vector<std::string> items;
  std::size_t first = 0;
  while (first <= text.size()) {
    const std::size_t last = std::min(text.find(',', first), text.size());
    items.push_back(text.substr(first, last - first));
    if (items.back().empty()) throw UsageError(concat(option, ": '", text, "' has an empty item"));
    first = last + 1;
  }
  return items;
}

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

/// Reads the command line into `run`. Returns false after printing --help. Throws UsageError.
inline bool parse_options(const std::string& program, const std::string& purpose, int argc, char** argv,
                          RunOptions& run) {
  namespace po = boost::program_options;
  CommandLine line{program + " DATA --save-dir DIR [options]",
                   purpose,
                   program + " data-bin --save-dir runs/a --arch transformer_lm --max-update 1000",
                   {"data"}};
  Settings& s = run.settings;
  std::string arch, train_domains, activation, positions, betas;
  std::int64_t layers = 0, d_model = 0, heads = 0, d_ffn = 0, tokens_per_sample = 0;
  std::int64_t batch_size = 2, update_freq = 8, max_update = 0, warmup = -1, validate_interval = -1,
               save_interval = -1, keep = 1, max_valid = 0, log_interval = 10, threads = 0;
  double dropout = -1;
  const auto text = [](std::string& variable, const char* name) {
    return po::value<std::string>(&variable)->value_name(name);
  };
  const auto count = [](std::int64_t& variable) {
    return po::value<std::int64_t>(&variable)->value_name("N");
  };
  const auto real = [](double& variable) { return po::value<double>(&variable)->value_name("X"); };
  // clang-format off
  po::options_description data_options("Data", help_columns), model_options("Model", help_columns),
      optimization("Optimization", help_columns), run_options("Run", help_columns);
  data_options.add_options()
    ("data", po::value<std::string>()->required()->value_name("DIR"), "the data-bin folder (also the first argument)")
    ("train-domains", text(train_domains, "A,B,..."), "domains to train on, in this order (default: all in DATA)")
    ("tokens-per-sample", count(tokens_per_sample), "context length T (default: the architecture's)")
    ("batch-size", count(batch_size)->default_value(batch_size), "sequences per domain in a micro-batch")
    ("max-valid-steps", count(max_valid)->default_value(max_valid), "batches of validation per domain; 0: all");
  model_options.add_options()
    ("arch", text(arch, "NAME")->default_value("transformer_lm"), "transformer_lm, transformer_lm_gpt3_small, ..._medium, "
     "..._large, ..._xl, ..._2_7, ..._6_7, ..._13 or ..._175; the options below override it")
    ("layers", count(layers), "transformer blocks")
    ("d-model", count(d_model), "width C of the residual stream")
    ("heads", count(heads), "attention heads")
    ("d-ffn", count(d_ffn), "width F of the feed-forward layers")
    ("activation", text(activation, "NAME"), "relu, gelu (erf) or gelu_tanh")
    ("positions", text(positions, "NAME"), "learned or sinusoidal")
    ("share-decoder-input-output-embed", po::value<bool>()->value_name("BOOL")->implicit_value(true),
     "tie the output projection to the input embedding")
    ("dropout", real(dropout), "probability of dropout on the embedding and on both branches of a block");
  optimization.add_options()
    ("lr", real(s.learning_rate)->default_value(s.learning_rate, "5e-4"), "peak learning rate")
    ("warmup-updates", count(warmup), "updates of linear warm-up (default: 8 % of --max-update)")
    ("max-update", count(max_update), "updates to train for; the learning rate decays linearly to its end (default: the recipe's)")
    ("update-freq", count(update_freq)->default_value(update_freq), "micro-batches per update")
    ("clip-norm", real(s.clip_norm)->default_value(s.clip_norm, "0.1"), "largest gradient norm; 0: no clipping")
    ("adam-betas", text(betas, "(B1, B2)")->default_value("(0.9, 0.95)"), "Adam's decay rates")
    ("adam-eps", real(s.adam.eps)->default_value(s.adam.eps, "1e-7"), "Adam's epsilon")
    ("weight-decay", real(s.adam.weight_decay)->default_value(s.adam.weight_decay, "0.1"), "decoupled, on all parameters");
  run_options.add_options()
    ("save-dir", po::value<std::string>()->required()->value_name("DIR"), "folder of checkpoints and metrics.jsonl; "
     "when it holds a checkpoint of this run, training continues from the newest")
    ("seed", po::value<std::uint64_t>(&s.seed.value)->default_value(1)->value_name("N"), "of initialization, shuffling and dropout")
    ("validate-interval-updates", count(validate_interval), "updates between validations; 0: at the end only (default: the recipe's)")
    ("save-interval-updates", count(save_interval), "updates between checkpoints; 0: at the end only (default: the recipe's)")
    ("keep-interval-updates", count(keep)->default_value(keep), "checkpoints to keep besides the best; 0: all")
    ("log-interval", count(log_interval)->default_value(log_interval), "updates between lines of metrics.jsonl")
    ("threads", count(threads), "processor threads (default: OMP_NUM_THREADS, or all)");
  // clang-format on
  line.options.add(data_options).add(model_options).add(optimization).add(run_options);
  po::variables_map values;
  if (!line.parse(argc, argv, values)) return false;

  run.data = values["data"].as<std::string>();
  s.save_dir = values["save-dir"].as<std::string>();
  if (values.count("train-domains")) run.train_domains = split_list("--train-domains", train_domains);

  run.config = architecture(arch);
  ModelConfig& c = run.config;
  if (values.count("layers")) c.layers = require_at_least("--layers", layers, 1);
  if (values.count("d-model")) c.d_model = require_at_least("--d-model", d_model, 1);
  if (values.count("heads")) c.heads = require_at_least("--heads", heads, 1);
  if (values.count("d-ffn")) c.d_ffn = require_at_least("--d-ffn", d_ffn, 1);
  if (values.count("tokens-per-sample"))
    c.tokens_per_sample = require_at_least("--tokens-per-sample", tokens_per_sample, 1);
  if (values.count("activation")) c.activation = activation;
  if (values.count("positions"))
    c.positions = require_one_of("--positions", positions, {"learned", "sinusoidal"}) == "learned"
                      ? Positions::learned
                      : Positions::sinusoidal;
  if (values.count("share-decoder-input-output-embed"))
    c.tied_embeddings = values["share-decoder-input-output-embed"].as<bool>();
  if (values.count("dropout")) c.dropout = static_cast<float>(dropout);
  c.validate();

  const Recipe preset = recipe(arch);
  s.max_update =
      values.count("max-update") ? require_at_least("--max-update", max_update, 1) : preset.max_update;
  s.warmup_updates = values.count("warmup-updates") ? require_at_least("--warmup-updates", warmup, 0)
                                                    : s.max_update * 8 / 100;
  if (s.warmup_updates >= s.max_update)
    throw UsageError(
        concat("--warmup-updates ", s.warmup_updates, " is not below --max-update ", s.max_update));
  s.validate_interval = values.count("validate-interval-updates")
                            ? require_at_least("--validate-interval-updates", validate_interval, 0)
                            : preset.validate_interval;
  s.save_interval = values.count("save-interval-updates")
                        ? require_at_least("--save-interval-updates", save_interval, 0)
                        : preset.save_interval;
  s.batch_size = require_at_least("--batch-size", batch_size, 1);
  s.update_freq = require_at_least("--update-freq", update_freq, 1);
  s.keep_checkpoints = require_at_least("--keep-interval-updates", keep, 0);
  s.max_valid_batches = require_at_least("--max-valid-steps", max_valid, 0);
  s.log_interval = require_at_least("--log-interval", log_interval, 1);
  if (!(s.learning_rate > 0) || !(s.clip_norm >= 0) || !(s.adam.eps > 0) || !(s.adam.weight_decay >= 0))
    throw UsageError("--lr and --adam-eps must be positive, --clip-norm and --weight-decay not negative");
  const auto [beta1, beta2] = parse_betas(betas);
  s.adam.beta1 = beta1;
  s.adam.beta2 = beta2;
  if (values.count("threads"))
    omp_set_num_threads(static_cast<int>(require_at_least("--threads", threads, 1)));
  return true;
}

}  // namespace demix::train
