#pragma once
// The command line of a trainer: the shared options, and what makes a new model.

#include <algorithm>
#include <string>
#include <vector>

#include "demix/program/model_type.hpp"
#include "demix/program/original_options.hpp"
#include "demix/program/shared_options.hpp"

namespace demix::program {

/// Throws UsageError where the options ask for experts to be trained apart (--freeze-shared, --only-domains)
/// in a way that cannot be. `run` has the other options already.
inline void require_experts_apart(const ModelTraits& type, const TrainOptions& run, bool chooses) {
  if (!run.freezes_shared) {
    if (chooses)
      throw UsageError(
          "--only-domains needs --freeze-shared: what all experts share would be fitted to the text of some, "
          "and the other experts would not fit it any more; --train-domains begins a model of some domains");
    return;
  }
  if (!type.has_experts)
    throw UsageError(concat("--freeze-shared trains experts alone, and a ", type.name, " model has none"));
  if (!run.settings.start)
    throw UsageError(
        "--freeze-shared needs the checkpoint whose shared parameters are kept, --restore-file or "
        "--finetune-from-model: those of a new model are random numbers");
  if (!run.domains.empty())
    throw UsageError(
        "--train-domains: with --freeze-shared the domains are the checkpoint's, of which --only-domains "
        "chooses some");
  if (chooses && type.sampling == data::Sampling::unbalanced)
    throw UsageError(
        concat("--only-domains: a ", type.name, " model draws a batch from the text of all domains at once"));
}

/// Reads the command line of a trainer of this type of model into `run`, but for what the data say: the
/// vocabulary, and the domains where none are named; so many processes share the processors. Returns false
/// after printing --help. Throws UsageError.
inline bool parse_train_options(const std::string& program, const std::string& purpose,
                                const ModelTraits& type, int argc, char** argv, TrainOptions& run,
                                int sharers = 1) {
  using namespace option;
  CommandLine line{program + " DATA --save-dir DIR [options]",
                   purpose,
                   program + " data-bin --save-dir runs/a --arch transformer_lm --max-update 1000",
                   {"data"},
                   {},
                   shared_aliases};
  const auto& activations = type.activations;
  std::string init, arch, train_domains, only_domains, eval_domains, valid_subset, restored, finetuned,
      activation, positions;
  std::size_t layers = 0, d_model = 0, heads = 0, d_ffn = 0, tokens_per_sample = 0;
  double dropout = 0;
  bool resets_optimizer = false, saves_nothing = false;
  SharedOptions shared(run.settings, {"5e-4", "the recipe's", "the recipe's"});
  po::options_description model_options("Model", help_columns);
  std::string activation_text = "of the feed-forward layers:";
  for (const auto& name : activations) activation_text += " " + name;
  // clang-format off
  shared.data.add_options()
    ("train-domains", string(train_domains, "A,B,..."), "domains to train on, in this order (default: all in DATA)")
    ("only-domains", string(only_domains, "A,B,..."), "with --freeze-shared: domains of the checkpoint to train the experts of "
     "(default: all of its); no text of others is needed")
    ("eval-domains", string(eval_domains, "A,B,..."), "those of them that validation scores (default: all)")
    ("valid-subset", string(valid_subset, "valid_A,..."), "the same, as the original names the splits")
    ("tokens-per-sample", count(tokens_per_sample, 1), "context length T (default: the architecture's)");
  model_options.add_options()
    ("arch", string(arch, "NAME")->default_value("transformer_lm"), "transformer_lm, transformer_lm_gpt3_small, ..._medium, "
     "..._large, ..._xl, ..._2_7, ..._6_7, ..._13 or ..._175; the options below override it")
    ("layers", count(layers, 1), "transformer blocks")
    ("d-model", count(d_model, 1), "width C of the residual stream")
    ("heads", count(heads, 1), "attention heads")
    ("d-ffn", count(d_ffn, 1), "width F of the feed-forward layers")
    ("positions", string(positions, "NAME"), "learned, sinusoidal, or none, where the attention knows them")
    ("share-decoder-input-output-embed", po::value<bool>()->value_name("BOOL")->implicit_value(true),
     "tie the output projection to the input embedding; BOOL: true (default) or false")
    ("init", string(init, "NAME")->default_value("xavier"), "how feed-forward layers and the biases of q, k and v start: xavier (weights Glorot-uniform, biases 0), or fairseq, as the original (all within 1/sqrt(inputs)), which learns a little more slowly")
    ("dropout", probability(dropout), "probability of dropout on the embedding and on both branches of a block");
  if (!activations.empty())
    model_options.add_options()("activation", string(activation, "NAME"), activation_text.c_str());
  shared.run.add_options()
    ("restore-file", string(restored, "CKPT"), "begin a new run where that checkpoint's is: its weights, optimizer and number of updates, "
     "with the options and text of this run; read while --save-dir has no checkpoint")
    ("finetune-from-model", string(finetuned, "CKPT"), "begin a new run with that checkpoint's weights; as --restore-file with --reset-optimizer")
    ("reset-optimizer", po::bool_switch(&resets_optimizer), "with --restore-file: take the weights alone, and begin at update 1")
    ("freeze-shared", po::bool_switch(&run.freezes_shared), "with --restore-file or --finetune-from-model: train the experts alone, each "
     "as if by itself, and leave all that they share as it is")
    ("no-save", po::bool_switch(&saves_nothing), "write no checkpoint");
  // clang-format on
  auto original = original_options(run.original);
  line.options.add(shared.data).add(model_options).add(shared.optimization).add(shared.run).add(original);
  po::variables_map values;
  if (!line.parse(argc, argv, values)) return false;

  run.data = values["data"].as<std::string>();
  if (values.count("train-domains")) run.domains = split_list("--train-domains", train_domains);
  if (values.count("eval-domains"))
    run.settings.validation.domains = split_list("--eval-domains", eval_domains);
  if (values.count("valid-subset")) {
    auto named = domains_of_subset(valid_subset);
    auto& domains = run.settings.validation.domains;
    if (!domains.empty() && !std::ranges::is_permutation(named, domains))
      throw UsageError(concat("--valid-subset and --eval-domains name other domains: ", valid_subset, " and ",
                              eval_domains));
    domains = std::move(named);
  }
  run.settings.saves = !saves_nothing;
  if (!finetuned.empty() && (!restored.empty() || resets_optimizer))
    throw UsageError(
        "--finetune-from-model stands for --restore-file with --reset-optimizer; give one of them");
  if (resets_optimizer && restored.empty()) throw UsageError("--reset-optimizer is for --restore-file");
  if (!finetuned.empty()) run.settings.start = {finetuned, false};
  if (!restored.empty()) run.settings.start = {restored, !resets_optimizer};

  require_experts_apart(type, run, values.count("only-domains") > 0);
  if (values.count("only-domains")) run.domains = split_list("--only-domains", only_domains);

  require_one_of("--arch", arch, architecture_names());
  if (require_one_of("--init", init, {"xavier", "fairseq"}) == "fairseq")
    run.settings.initial_values = InitialValues::fairseq;
  run.config = architecture(arch);
  ModelConfig& c = run.config;
  if (values.count("layers")) c.layers = layers;
  if (values.count("d-model")) c.d_model = d_model;
  if (values.count("heads")) c.heads = heads;
  if (values.count("d-ffn")) c.d_ffn = d_ffn;
  if (values.count("tokens-per-sample")) c.tokens_per_sample = tokens_per_sample;
  if (values.count("activation"))
    c.activation = require_one_of("--activation", activation, activations);
  else if (!activations.empty() &&
           std::find(activations.begin(), activations.end(), c.activation) == activations.end())
    c.activation.clear();  // the type's
  if (values.count("positions")) c.positions = positions_of("--positions", positions);
  if (values.count("share-decoder-input-output-embed"))
    c.tied_embeddings = values["share-decoder-input-output-embed"].as<bool>();
  if (values.count("dropout")) c.dropout = static_cast<float>(dropout);
  if (c.d_model % c.heads != 0)
    throw UsageError(concat("--d-model ", c.d_model, " is not a multiple of --heads ", c.heads));
  c.validate();
  shared.read(values, train::recipe(arch));
  run.threads = shared.threads(sharers);
  return true;
}

}  // namespace demix::program
