#pragma once
// The command line of demix-adapt.

#include <algorithm>
#include <optional>
#include <string>

#include "demix/checkpoint/place.hpp"
#include "demix/program/model_type.hpp"
#include "demix/program/shared_options.hpp"

namespace demix::program {

/// Reads the command line, and from the checkpoint, which `checkpoints` then know, what it is. Returns false
/// after printing --help. Throws UsageError, and Error for a checkpoint that cannot be read.
inline bool parse_adapt_options(int argc, char** argv, checkpoint::Checkpoints& checkpoints,
                                AdaptOptions& options) {
  using namespace option;
  adapt::Settings& a = options.adaptation;
  CommandLine line{
      "demix-adapt DATA CHECKPOINT --domain NEW --mode feedforward|full --save-dir DIR [options]",
      "Adapts a trained model to a new domain. Mode feedforward trains what a DEMix model gets for the "
      "domain, a\nnew expert, and leaves all else as it is; of other models it trains the feed-forward "
      "layers. The architecture\nis the checkpoint's.",
      "demix-adapt data-bin runs/demix/checkpoint_last --domain news --mode feedforward --save-dir runs/news",
      {"data", "checkpoint"},
      {},
      shared_aliases};
  a.training.learning_rate = 5e-5;
  SharedOptions shared(a.training, {"5e-5", "a tenth of CHECKPOINT's updates", "a tenth of --max-update"});
  po::options_description adaptation("Adaptation", help_columns);
  std::string checkpoint, mode;
  double dropout = 0;
  // clang-format off
  adaptation.add_options()
    ("checkpoint", po::value(&checkpoint)->required()->value_name("DIR"), "the trained model (also the second argument)")
    ("domain", string(a.domain, "NEW")->required(), "the domain of DATA to adapt to")
    ("mode", string(mode, "NAME")->required(), "feedforward: train only the new expert (without experts: the feed-forward "
     "layers, and the new domain token); full: train all parameters")
    ("from", string(a.from, "NAME"), "the expert, or domain token, to start from (default: the one with the highest "
     "posterior on the first 100 batches of NEW's valid split)")
    ("dropout", probability(dropout), "of the embedding and of both branches of a block (default: CHECKPOINT's)");
  // clang-format on
  line.options.add(shared.data).add(adaptation).add(shared.optimization).add(shared.run);
  po::variables_map values;
  if (!line.parse(argc, argv, values)) return false;
  a.mode = require_one_of("--mode", mode, {"feedforward", "full"}) == "full" ? adapt::Mode::full
                                                                             : adapt::Mode::feedforward;
  a.data = values["data"].as<std::string>();
  a.checkpoint = resolve(checkpoint);
  if (values.count("dropout")) a.dropout = static_cast<float>(dropout);
  const auto& metadata = checkpoints.at(a.checkpoint).metadata;
  a.training.experiment = metadata.experiment;
  std::optional<std::uint64_t> updates;
  if (values.count("max-update")) updates = values["max-update"].as<std::size_t>();
  shared.read(values, adapt::recipe(metadata, updates));
  options.threads = shared.threads(1);
  return true;
}

}  // namespace demix::program
