#pragma once
// What a training loop needs of a model, whatever its type.

#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "demix/eval/scorer.hpp"
#include "demix/model/language_model.hpp"

namespace demix::train {

/// A model that can be trained and validated.
template <device::Device D, Precision P>
class TrainableModel {
 public:
  virtual ~TrainableModel() = default;
  virtual D& device() const = 0;
  virtual Weights<D, P>& weights() = 0;
  virtual const ParameterLayout& layout() const = 0;
  virtual const ModelConfig& config() const = 0;
  /// The configuration with the dictionary's vocabulary alone.
  virtual ModelConfig dictionary_config() const = 0;
  virtual const std::vector<std::string>& domains() const = 0;
  /// Called when gradients are complete, as Session::accumulate_gradients does it.
  using Complete = std::function<void(std::size_t shared, std::size_t expert)>;
  /// Adds the sum of the batch's losses to `totals` and its gradient to `gradients`. `complete` may be empty.
  /// Does not wait for the device.
  virtual void accumulate_gradients(const Batch& batch, const ops::Dropout& dropout,
                                    GradientArena<D, P>& gradients, LossTotals<D>& totals,
                                    const Complete& complete) = 0;
  /// The same weights, to score with.
  virtual eval::Scorer& scorer() = 0;
};

/// A LanguageModel as such; it must outlive this.
template <class Model>
class Trainable final : public TrainableModel<typename Model::DeviceType, typename Model::PrecisionType> {
 public:
  using D = typename Model::DeviceType;
  using P = typename Model::PrecisionType;

  explicit Trainable(Model& model) : model_(model), scorer_(model.session()) {}
  D& device() const override { return model_.device(); }
  Weights<D, P>& weights() override { return model_.weights(); }
  const ParameterLayout& layout() const override { return model_.layout(); }
  const ModelConfig& config() const override { return model_.config(); }
  ModelConfig dictionary_config() const override { return model_.dictionary_config(); }
  const std::vector<std::string>& domains() const override { return model_.domains(); }
  using typename TrainableModel<D, P>::Complete;
  void accumulate_gradients(const Batch& batch, const ops::Dropout& dropout, GradientArena<D, P>& gradients,
                            LossTotals<D>& totals, const Complete& complete) override {
    if (complete)
      model_.session().accumulate_gradients(batch, dropout, gradients, totals, complete);
    else
      model_.accumulate_gradients(batch, dropout, gradients, totals);
  }
  eval::Scorer& scorer() override { return scorer_; }

 private:
  Model& model_;
  eval::SessionScorer<typename Model::Network> scorer_;
};

}  // namespace demix::train
