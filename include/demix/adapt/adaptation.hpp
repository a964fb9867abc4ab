#pragma once
// Adaptation to a new domain (Gururangan et al. 2022, section 5): DEMix-DAPT, and DAPT of the other models.

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "demix/adapt/record.hpp"
#include "demix/adapt/settings.hpp"
#include "demix/adapt/start.hpp"
#include "demix/checkpoint/compose.hpp"
#include "demix/checkpoint/folder.hpp"
#include "demix/checkpoint/model_source.hpp"
#include "demix/comm/self.hpp"
#include "demix/core/file_lock.hpp"
#include "demix/eval/expert_losses.hpp"
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

  /// Chooses the start and takes its values from the base, which is in memory no longer than that. `domain`
  /// is none of the base's. `on_choice` is called before the posterior chooses, which takes a while. Throws
  /// Error for data, or a folder, of something else.
  Adaptation(
      D& device, const checkpoint::ModelSource& base, const Settings& settings,
      const std::function<void()>& on_choice = [] {})
      : settings_(settings),
        base_(base.metadata()),
        model_(device, base_.config, new_domains(base_, settings.domain)),
        data_(open_data(settings)) {
    Model old = base.template load<Model>(device);
    record_ = make_record(old, on_choice);
    start_from(old, DomainId(static_cast<int>(has_choice ? domain_index(record_.start) : 0)), model_);
  }

  const Record& record() const { return record_; }
  const Model& model() const { return model_; }

  /// What is trained.
  std::vector<optim::ParameterSpan> trained() const { return trained_spans(model_, settings_.mode); }

  /// Trains to the end. Returns false when `poll` threw Stopped, like train::Trainer::run.
  template <class Poll>
  bool train(const Poll& poll) {
    const train::Adaptation what{trained(),
                                 {{"mode", record_.mode}, {"base", record_.hash}, {"start", record_.start}}};
    train::Trainable<Model> trainable(model_);
    train::Trainer<D, P, comm::Self> trainer(trainable, comm::Self(), comm::Placement::whole(1), data_,
                                             settings_.training, settings_.training.adam, what);
    return trainer.run(poll);
  }

  /// Where `join` puts the whole model.
  std::filesystem::path joined() const { return settings_.training.save_dir / "joined"; }

  /// Writes the whole model of a base with experts: the old ones as they are, and the new one, with the body
  /// that belongs to it. Returns how many experts it has; 0: it was there already. Throws Error when the base
  /// is no longer what it was.
  std::size_t join() const {
    const auto last = settings_.training.save_dir / "checkpoint_last";
    if (std::filesystem::exists(joined())) {
      durable::PartialFolder::remove_abandoned(durable::partial(joined()));
      return 0;
    }
    require(model_hash(settings_.checkpoint, base_) == record_.hash, settings_.checkpoint,
            ": has changed since the adaptation started; its experts do not belong to ", last,
            ", which is complete: join it to the right ones with demix-experts add");
    std::vector<checkpoint::ExpertSource> experts;
    for (const auto& domain : base_.domains) experts.push_back({settings_.checkpoint, domain, domain});
    experts.push_back({last, record_.domain, record_.domain});
    checkpoint::compose(joined(), settings_.mode == Mode::full ? last : settings_.checkpoint, experts);
    return experts.size();
  }

 private:
  static std::vector<std::string> new_domains(const checkpoint::Metadata& base, const std::string& domain) {
    std::vector<std::string> domains;
    if (!Model::has_experts) domains = base.domains;
    domains.push_back(domain);
    return domains;
  }

  /// The new domain's text. The model keeps what the base's vocabulary says, where the data says less.
  train::TrainingData open_data(const Settings& settings) const {
    auto data =
        train::open_data(settings.data, {settings.domain}, base_.config.vocabulary, model_.text_length(),
                         DomainId(static_cast<int>(model_.domains().size()) - 1));
    data.vocabulary_fingerprint =
        text::fuller_fingerprint(base_.vocabulary_fingerprint, data.vocabulary_fingerprint);
    return data;
  }

  std::size_t domain_index(const std::string& name) const {
    const auto found = std::find(base_.domains.begin(), base_.domains.end(), name);
    require(
        found != base_.domains.end(), [&] { return record_path().string(); }, ": its start '", name,
        "' is no domain of ", settings_.checkpoint);
    return static_cast<std::size_t>(found - base_.domains.begin());
  }

  std::filesystem::path record_path() const { return settings_.training.save_dir / "adapt.json"; }

  /// The record that stands in the save folder, or a new one, which then stands there.
  Record make_record(Model& base, const std::function<void()>& on_choice) const {
    Record record{settings_.domain,
                  name_of(settings_.mode),
                  settings_.checkpoint.string(),
                  base_.experiment,
                  model_hash(settings_.checkpoint, base_),
                  base_.step,
                  settings_.from,
                  {}};
    const checkpoint::CheckpointFolder folder(settings_.training.save_dir);
    const FileLock lock(folder.path() / ".lock", folder.path());
    const auto path = record_path();
    if (std::filesystem::exists(path)) {
      const auto found = read_record(path);
      require_same_adaptation(path, found, record);
      return found;
    }
    require(!folder.latest_step(), folder.path(),
            ": holds checkpoints of a run that is no adaptation (there is no adapt.json); use another "
            "--save-dir");
    require(
        !std::filesystem::exists(joined()), [&] { return joined().string(); },
        ": is of another adaptation (there is no adapt.json); use another --save-dir");
    if (has_choice && record.start.empty()) {
      on_choice();
      const auto& valid = data_.valid.front();
      eval::SessionScorer scorer(base.session());
      const auto posterior = eval::estimate_posterior(
          scorer, valid, eval::default_sequences(valid.block_length()), posterior_batches);
      for (std::size_t d = 0; d < posterior.size(); ++d)
        record.posterior.emplace_back(base_.domains[d], posterior[d]);
      const auto highest = std::max_element(posterior.begin(), posterior.end());
      record.start = base_.domains[static_cast<std::size_t>(highest - posterior.begin())];
    }
    write_record(path, record);
    return record;
  }

  const Settings settings_;
  const checkpoint::Metadata base_;
  Model model_;
  const train::TrainingData data_;
  Record record_;
};

}  // namespace demix::adapt
