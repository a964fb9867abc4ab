#pragma once
// Adaptation to a new domain (Gururangan et al. 2022, section 5): DEMix-DAPT, and DAPT of the other models.

#include <functional>
#include <string>
#include <vector>

#include "demix/adapt/folder.hpp"
#include "demix/adapt/start.hpp"
#include "demix/checkpoint/model_source.hpp"
#include "demix/comm/self.hpp"
#include "demix/core/domain_name.hpp"
#include "demix/eval/expert_losses.hpp"
#include "demix/text/vocabulary.hpp"
#include "demix/train/trainer.hpp"
#include "demix/train/training_data.hpp"

namespace demix::adapt {

/// The batches that choose the start.
inline constexpr std::size_t posterior_batches = 100;

/// One adaptation: a model of the base's type that trains on the new domain alone.
template <class Model>
class Adaptation {
 public:
  using D = typename Model::DeviceType;
  using P = typename Model::PrecisionType;
  static constexpr bool has_choice = Model::has_experts || Model::prefix_length > 0;
  // Of experts the adapted model has the new one alone, of tokens all.
  static constexpr bool can_be_adapted = !(Model::has_experts && Model::prefix_length > 0);

  /// Chooses the start and takes its values from the base, which is in memory no longer than that. The new
  /// domain is none of the base's. `on_choice` is called before the posterior chooses, which takes a while,
  /// and `on_record` when the start is known. Throws Error for data, or a folder, of something else.
  Adaptation(
      D& device, const checkpoint::ModelSource& base, const Settings& settings,
      const std::function<void()>& on_choice = [] {},
      const std::function<void(const Record&)>& on_record = [](const Record&) {})
      : settings_(settings),
        vocabulary_fingerprint_(text::require_same_vocabulary(
            {settings.data.string(), text::vocabulary_fingerprint(settings.data)},
            {settings.checkpoint.string(), base.metadata().vocabulary_fingerprint})),
        folder_(settings, base.metadata()),
        model_(device, config_of(base.metadata(), settings), new_domains(base.metadata(), settings.domain)),
        data_(train::open_data(settings.data, vocabulary_fingerprint_, model_.domains(),
                               {DomainId(static_cast<int>(model_.domains().size()) - 1)},
                               base.metadata().config.vocabulary, model_.text_length())) {
    Model old = base.template load<Model>(device);
    record_ = folder_.record(has_choice, [&] {
      on_choice();
      eval::SessionScorer scorer(old.session());
      const auto& valid = data_.valid.front();
      return eval::estimate_posterior(scorer, valid, eval::default_sequences(valid.block_length()),
                                      posterior_batches);
    });
    on_record(record_);
    start_from(old, has_choice ? folder_.start(record_) : DomainId(0), model_);
  }

  const Record& record() const { return record_; }
  const Folder& folder() const { return folder_; }
  const Model& model() const { return model_; }

  /// What is trained.
  std::vector<optim::ParameterSpan> trained() const { return trained_spans(model_, settings_.mode); }

  /// Trains to the end, or goes on with what stands in the folder; `on_ready` is called when that is loaded.
  /// Returns false when `poll` threw Stopped, like train::Trainer::run.
  bool train(
      const std::function<void()>& poll, const std::function<void()>& on_ready = [] {}) {
    const train::Adaptation what{trained(),
                                 {{"mode", record_.mode}, {"base", record_.hash}, {"start", record_.start}}};
    train::Trainable<Model> trainable(model_);
    train::Trainer<D, P, comm::Self> trainer(trainable, comm::Self(), comm::Placement::whole(1), data_,
                                             settings_.training, settings_.training.adam, what);
    on_ready();
    return trainer.run(poll);
  }

 private:
  static ModelConfig config_of(const checkpoint::Metadata& base, const Settings& settings) {
    ModelConfig config = base.config;
    if (settings.dropout) config.dropout = *settings.dropout;
    return config;
  }
  static std::vector<std::string> new_domains(const checkpoint::Metadata& base, const std::string& domain) {
    require(can_be_adapted, "adaptation: of a model with both experts and domain tokens it is not known how");
    require(!find_domain(base.domains, domain), "adaptation: the base has domain '", domain, "' already");
    std::vector<std::string> domains;
    if (!Model::has_experts) domains = base.domains;
    domains.push_back(domain);
    return domains;
  }

  const Settings settings_;
  const std::string vocabulary_fingerprint_;  // all that is known of the base's and the data's, which are one
  const Folder folder_;
  Model model_;
  const train::TrainingData data_;
  Record record_;
};

}  // namespace demix::adapt
