#pragma once
// The types of models that the programs know, each behind one interface.

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "demix/adapt/settings.hpp"
#include "demix/checkpoint/model_source.hpp"
#include "demix/comm/any.hpp"
#include "demix/comm/placement.hpp"
#include "demix/core/stop_signal.hpp"
#include "demix/eval/scorer.hpp"
#include "demix/train/settings.hpp"

namespace demix::program {

/// What a command line of the original says that is always so here (program/original_options.hpp), by name.
using OriginalOptions = std::map<std::string, std::string>;

/// What a trainer program is told.
struct TrainOptions {
  std::filesystem::path data;
  std::vector<std::string> domains;
  ModelConfig config;
  train::Settings settings;
  OriginalOptions original;
  int threads = 1;
  bool freezes_shared = false;                     // of a start: trains experts alone
  std::vector<std::string> domains_at_start = {};  // of the start, where the shared parameters are frozen
};

/// What demix-adapt is told.
struct AdaptOptions {
  adapt::Settings adaptation;
  int threads = 1;
};

/// What is known of a type of model without a model.
struct ModelTraits {
  std::string name;         // its checkpoints are marked with it
  data::Sampling sampling;  // of its training batches
  bool has_experts = false;
  std::size_t prefix_length = 0;         // tokens in front of a text
  std::vector<std::string> activations;  // that a configuration may name; none where the type does not say

  /// What one of several ranks does of a training run. Throws Error for a number that cannot share it.
  comm::Placement placement(int rank, int ranks, std::size_t domains) const {
    return has_experts ? comm::Placement::by_domain(rank, ranks, domains)
                       : comm::Placement::by_sequence(rank, ranks, domains);
  }
};

/// A type of model, on one device and in one precision, with what programs do with it.
class ModelType {
 public:
  explicit ModelType(ModelTraits its) : traits(std::move(its)) {}
  virtual ~ModelType() = default;

  const ModelTraits traits;

  /// The model, to score with on so many threads. Throws like checkpoint::ModelSource::load.
  virtual std::shared_ptr<eval::Scorer> load(const checkpoint::ModelSource& source, int threads) const = 0;
  /// Trains a new model to the end, or to a signal, as one of these ranks. Returns the exit code: 0, or 128 +
  /// the signal as shells do. Collective.
  virtual int train(const TrainOptions& options, comm::Any ranks, StopSignal& stop) const = 0;
  /// Adapts `base`, a model of this type, in the same way.
  virtual int adapt(const checkpoint::ModelSource& base, const AdaptOptions& options,
                    StopSignal& stop) const = 0;
};

/// Types of models by their names.
class ModelList {
 public:
  /// Throws Error when two have one name.
  explicit ModelList(std::vector<std::shared_ptr<const ModelType>> types) : types_(std::move(types)) {
    for (auto type = types_.begin(); type != types_.end(); ++type)
      for (auto other = types_.begin(); other != type; ++other)
        require((*other)->traits.name != (*type)->traits.name, "model list: two types are named '",
                (*type)->traits.name, "'");
  }

  /// Throws Error, which begins with `where`, for a name that is not in the list.
  const ModelType& at(const std::string& name, const std::string& where) const {
    std::string known;
    for (const auto& type : types_) {
      if (type->traits.name == name) return *type;
      known += (known.empty() ? "" : ", ") + type->traits.name;
    }
    throw Error(concat(where, ": experiment '", name, "' is not one of ", known,
                       "; a model type of your own needs a line in the list of the programs' models"));
  }

 private:
  std::vector<std::shared_ptr<const ModelType>> types_;
};

}  // namespace demix::program
