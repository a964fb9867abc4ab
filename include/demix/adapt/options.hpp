#pragma once
// The command line of demix-adapt.

#include <algorithm>
#include <optional>
#include <string>

#include "demix/adapt/start.hpp"
#include "demix/checkpoint/place.hpp"
#include "demix/train/shared_options.hpp"

namespace demix::adapt {

struct Options {
  std::filesystem::path data, checkpoint;
  std::string domain, mode, from;  // from: empty where the posterior chooses
  train::Settings settings;

  Mode trained() const { return mode == "full" ? Mode::full : Mode::feedforward; }
};

/// A tenth of the updates that the base has had, unless `given` says how many, and ten validations in them.
inline train::Recipe recipe(const checkpoint::Metadata& base, std::optional<std::uint64_t> given) {
  const auto tenth = [](std::uint64_t n) { return std::max<std::uint64_t>(1, n / 10); };
  const std::uint64_t updates = given ? *given : tenth(base.step);
  return {updates, tenth(updates), tenth(updates)};
}

/// Reads the command line, and from the checkpoint what it is. Returns false after printing --help. Throws
/// UsageError, and Error for a checkpoint that cannot be read.
inline bool parse_options(int argc, char** argv, Options& options) {
  using namespace option;
  CommandLine line{
      "demix-adapt DATA CHECKPOINT --domain NEW --mode feedforward|full --save-dir DIR [options]",
      "Adapts a trained model to a new domain. Mode feedforward trains what a DEMix model gets for the "
      "domain, a\nnew expert, and leaves all else as it is; of other models it trains the feed-forward "
      "layers. The architecture\nis the checkpoint's.",
      "demix-adapt data-bin runs/demix/checkpoint_last --domain news --mode feedforward --save-dir runs/news",
      {"data", "checkpoint"}};
  options.settings.learning_rate = 5e-5;
  train::SharedOptions shared(options.settings,
                              {"5e-5", "a tenth of CHECKPOINT's updates", "a tenth of --max-update"});
  po::options_description adaptation("Adaptation", help_columns);
  std::string checkpoint;
  // clang-format off
  adaptation.add_options()
    ("checkpoint", po::value(&checkpoint)->required()->value_name("DIR"), "the trained model (also the second argument)")
    ("domain", text(options.domain, "NEW")->required(), "the domain of DATA to adapt to")
    ("mode", text(options.mode, "NAME")->required(), "feedforward: train only the new expert (without experts: the feed-forward "
     "layers, and the new domain token); full: train all parameters")
    ("from", text(options.from, "NAME"), "the expert, or domain token, to start from (default: the one with the highest "
     "posterior on the first 100 batches of NEW's valid split)");
  // clang-format on
  line.options.add(shared.data).add(adaptation).add(shared.optimization).add(shared.run);
  po::variables_map values;
  if (!line.parse(argc, argv, values)) return false;
  require_one_of("--mode", options.mode, {"feedforward", "full"});
  options.data = values["data"].as<std::string>();
  options.checkpoint = resolve(checkpoint);
  const auto metadata = checkpoint::read_metadata(options.checkpoint);
  options.settings.experiment = metadata.experiment;
  std::optional<std::uint64_t> updates;
  if (values.count("max-update")) updates = values["max-update"].as<std::size_t>();
  shared.read(values, recipe(metadata, updates));
  return true;
}

}  // namespace demix::adapt
