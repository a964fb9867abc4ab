#pragma once
// The types of models that the programs know, each behind one interface.

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "demix/adapt/settings.hpp"
#include "demix/checkpoint/model_source.hpp"
#include "demix/core/stop_signal.hpp"
#include "demix/eval/scorer.hpp"
#include "demix/train/settings.hpp"

namespace demix::program {

/// What a trainer program is told.
struct TrainOptions {
  std::filesystem::path data;
  std::vector<std::string> domains;
  ModelConfig config;
  train::Settings settings;
  int threads = 1;
};

/// What demix-adapt is told.
struct AdaptOptions {
  adapt::Settings adaptation;
  int threads = 1;
};

/// A type of model, on one device and in one precision, with what programs do with it.
class ModelType {
 public:
  ModelType(std::string name, data::Sampling sampling) : name_(std::move(name)), sampling_(sampling) {}
  virtual ~ModelType() = default;

  /// What its checkpoints are marked with.
  const std::string& name() const { return name_; }
  /// How its training batches are drawn.
  data::Sampling sampling() const { return sampling_; }
  virtual bool has_experts() const = 0;
  virtual std::size_t prefix_length() const = 0;
  /// What a configuration may name; none where the type does not say.
  virtual std::vector<std::string> activations() const = 0;

  /// The model, to score with on so many threads. Throws like checkpoint::ModelSource::load.
  virtual std::shared_ptr<eval::Scorer> load(const checkpoint::ModelSource& source, int threads) const = 0;
  /// Trains a new model to the end, or to a signal. Returns the exit code: 0, or 128 + the signal as shells
  /// do.
  virtual int train(const TrainOptions& options, StopSignal& stop) const = 0;
  /// Adapts `base`, a model of this type, in the same way.
  virtual int adapt(const checkpoint::ModelSource& base, const AdaptOptions& options,
                    StopSignal& stop) const = 0;

 private:
  std::string name_;
  data::Sampling sampling_;
};

/// Types of models by their names.
class ModelList {
 public:
  /// Throws Error when two have one name.
  explicit ModelList(std::vector<std::shared_ptr<const ModelType>> types) : types_(std::move(types)) {
    for (auto type = types_.begin(); type != types_.end(); ++type)
      for (auto other = types_.begin(); other != type; ++other)
        require((*other)->name() != (*type)->name(), "model list: two types are named '", (*type)->name(),
                "'");
  }

  /// Throws Error, which begins with `where`, for a name that is not in the list.
  const ModelType& at(const std::string& name, const std::string& where) const {
    std::string known;
    for (const auto& type : types_) {
      if (type->name() == name) return *type;
      known += (known.empty() ? "" : ", ") + type->name();
    }
    throw Error(concat(where, ": experiment '", name, "' is not one of ", known,
                       "; a model type of your own needs a line in the list of the programs' models"));
  }

 private:
  std::vector<std::shared_ptr<const ModelType>> types_;
};

}  // namespace demix::program
