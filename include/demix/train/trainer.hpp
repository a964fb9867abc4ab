#pragma once
// The training loop: batches, gradients, ranks, optimizer, validation, checkpoints, top to bottom.

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "demix/checkpoint/checkpoint.hpp"
#include "demix/checkpoint/folder.hpp"
#include "demix/comm/communicator.hpp"
#include "demix/core/file_lock.hpp"
#include "demix/core/stop_signal.hpp"
#include "demix/core/vocabulary_fingerprint.hpp"
#include "demix/data/batcher.hpp"
#include "demix/data/dictionary.hpp"
#include "demix/eval/perplexity.hpp"
#include "demix/ops/dropout.hpp"
#include "demix/optim/adam.hpp"
#include "demix/optim/gradient_norm.hpp"
#include "demix/optim/schedule.hpp"
#include "demix/train/metrics.hpp"
#include "demix/train/progress.hpp"
#include "demix/train/settings.hpp"
#include "demix/train/totals.hpp"
#include "demix/train/training_data.hpp"

namespace demix::train {

template <class Model, comm::Communicator Comm>
class Trainer {
 public:
  /// Model, communicator and data must outlive the trainer. Without an adaptation all parameters are trained.
  /// Creates the save folder; when it holds a checkpoint, continues from the newest one. Throws Error when
  /// that is of another model, vocabulary, set of domains, text, or run.
  Trainer(Model& model, Comm& comm, const TrainingData& data, const Settings& settings,
          std::optional<Adaptation> adaptation = {})
      : model_(model),
        comm_(comm),
        data_(data),
        settings_(settings),
        facts_(adaptation ? adaptation->facts : nlohmann::json()),
        vocabulary_fingerprint_(data.vocabulary_fingerprint),
        text_(text_identity(data, model.domains())),
        batcher_(data.train, data.domains, settings.sampling, settings.batch_size, settings.seed),
        schedule_{settings.learning_rate, settings.warmup_updates, settings.max_update},
        gradients_(model.make_arena()),
        adam_(model, settings.adam, adaptation ? adaptation->trained : optim::whole_regions(gradients_)),
        scratch_(model.device()),
        folder_(settings.save_dir),
        lock_(settings.save_dir / ".lock", settings.save_dir),
        step_(resume()),
        metrics_(settings.save_dir / "metrics.jsonl", step_, validation_due_),
        progress_(step_, settings.max_update, settings.log_interval) {}

  std::uint64_t step() const { return step_; }

  /// Trains to the last update. `poll` is called before each micro-batch and each batch of validation; when
  /// it throws Stopped, an update that is not whole is dropped, the rest saved, and false returned. Throws
  /// Error at a loss, perplexity or gradient that is not finite; the checkpoints on disk are then all from
  /// before it.
  template <class Poll>
  bool run(const Poll& poll) {
    if (step_ > 0) progress_.message(concat("continuing from ", folder_.path_of(step_).string()));
    try {
      if (validation_due_) finish_update(poll);  // the run was stopped in it
      while (step_ < settings_.max_update) {
        update(poll);
        validation_due_ = last() || due(settings_.validate_interval);
        finish_update(poll);
      }
    } catch (const Stopped&) {
      if (step_ > 0) save();
      progress_.message(
          step_ == 0 ? "stopped by a signal before the first update was done; nothing is to be saved"
                     : concat("stopped by a signal ", validation_due_ ? "in the validation " : "",
                              "after update ", step_, ", saved; the same command continues from here"));
      return false;
    }
    return true;
  }

 private:
  /// One optimizer update: `update_freq` micro-batches, the gradient of the mean loss over all their tokens,
  /// clipping, Adam.
  template <class Poll>
  void update(const Poll& poll) {
    const double started = progress_.seconds();
    gradients_.fill_zero();
    Totals totals(model_.domains());
    for (std::uint64_t micro = 0; micro < settings_.update_freq; ++micro) {
      poll();
      const std::uint64_t position =
          (step_ * settings_.update_freq + micro) * static_cast<std::uint64_t>(comm_.size()) +
          static_cast<std::uint64_t>(comm_.rank());
      const Batch batch = batcher_.batch(position);
      const ops::Dropout dropout{model_.config().dropout, settings_.seed,
                                 static_cast<std::uint32_t>(position)};
      totals.add(batch, model_.accumulate_gradients(batch, dropout, gradients_));
    }
    totals.all_reduce(comm_);
    for (std::size_t r = 0; r < gradients_.regions(); ++r) comm_.all_reduce_region(r, gradients_.region(r));

    totals.require_finite([&](const auto& what, const auto& where) { fail_not_finite(what, where); });
    const double tokens = totals.tokens(), loss = totals.loss() / tokens;
    require(tokens > 0, "update ", step_ + 1, ": its ", settings_.update_freq,
            " micro-batches have no target token, only padding (id ", pad_token,
            "): the train split holds it as if it were text; prepare the text again");
    const double norm = gradient_norm() / tokens;
    const double learning_rate = schedule_.learning_rate(step_ + 1);
    adam_.step(model_, gradients_, step_ + 1, learning_rate,
               optim::clip_factor(norm, settings_.clip_norm) / tokens);
    ++step_;
    tokens_seen_ += static_cast<std::uint64_t>(tokens);

    const double rate = tokens / (progress_.seconds() - started);
    progress_.update(step_, loss, learning_rate, rate);
    if (step_ % settings_.log_interval == 0 || last())
      log({{"type", "train"},
           {"step", step_},
           {"loss", loss},
           {"perplexity", std::exp(loss)},
           {"learning_rate", learning_rate},
           {"gradient_norm", norm},
           {"tokens", tokens_seen_},
           {"tokens_per_second", rate},
           {"loss_by_domain", totals.losses_by_domain()}});
  }

  /// Validation and saving, where they are due; a new best average perplexity is saved and kept.
  template <class Poll>
  void finish_update(const Poll& poll) {
    if (validation_due_) validate(poll);
    if (last())
      save();
    else if (due(settings_.save_interval) || best_.step == step_)
      save_or_go_on();
  }

  /// Perplexity on every domain's validation text.
  template <class Poll>
  void validate(const Poll& poll) {
    std::vector<eval::Score> scores;
    nlohmann::ordered_json perplexities;
    std::string line = concat("update ", step_, " validation perplexity:");
    for (std::size_t d = 0; d < data_.valid.size(); ++d) {
      const DomainId domain = data_.domains[d];
      const auto& name = model_.domains()[static_cast<std::size_t>(index(domain))];
      const auto sequences = eval::default_sequences(data_.valid[d].block_length());
      scores.push_back(
          eval::evaluate(model_, data_.valid[d], domain, sequences, settings_.max_valid_batches, poll));
      perplexities[name] = scores.back().perplexity();
      line += concat(" ", name, " ", scores.back().perplexity());
    }
    const double average = eval::average_perplexity(scores);
    if (!std::isfinite(average)) fail_not_finite("the average validation perplexity", "(" + line + ")");
    const bool best = average < best_.average;
    if (best) best_ = {step_, average};
    validation_due_ = false;
    progress_.message(concat(line, ", average ", average, best ? " (best so far)" : ""));
    log({{"type", "valid"},
         {"step", step_},
         {"perplexity", perplexities},
         {"average_perplexity", average},
         {"best_average_perplexity", best_.average},
         {"best_step", best_.step}});
  }

  /// A line of metrics. One that cannot be written now is no reason to lose the updates.
  void log(const nlohmann::ordered_json& object) {
    if (!metrics_.write(object))
      progress_.message(concat("cannot write ", (folder_.path() / "metrics.jsonl").string(),
                               ": is the disk full? Its lines are kept, and written when that is possible"));
  }

  void save() {
    metrics_.complete();
    const bool is_there = folder_.latest_step() == step_;
    if (!is_there || (saved_validation_due_ && !validation_due_)) {
      checkpoint::TrainingState<Model> state = training_state();
      const nlohmann::json scalars{{"tokens", tokens_seen_},
                                   {"best_average_perplexity", best_.step ? best_.average : 0},
                                   {"best_step", best_.step},
                                   {"validation_due", validation_due_},
                                   {"settings", settings_for_resume(settings_, comm_.size(), facts_)},
                                   {"text", text_}};
      state.scalars = scalars.dump();
      if (is_there)
        checkpoint::replace_state(folder_.path_of(step_), metadata(step_), model_, state);
      else
        checkpoint::save(folder_.path_of(step_), metadata(step_), model_, &state);
      saved_validation_due_ = validation_due_;
    }
    folder_.point("checkpoint_last", step_);
    if (best_.step == step_) folder_.point("checkpoint_best", step_);
    if (settings_.keep_checkpoints > 0) folder_.keep_newest(settings_.keep_checkpoints);
    saved_best_ = best_;
  }

  /// Saves, where training can go on without; a best that could not be saved is none.
  void save_or_go_on() {
    try {
      save();
    } catch (const std::exception& error) {
      best_ = saved_best_;
      const auto interval = settings_.save_interval;
      const auto next = interval ? std::min(step_ - step_ % interval + interval, settings_.max_update)
                                 : settings_.max_update;
      progress_.message(concat("update ", step_, " cannot be saved: ", error.what(),
                               "\nTraining goes on; the next attempt is at the latest after update ", next));
    }
  }

  /// Loads the newest checkpoint of the folder and returns its step, or 0 where there is none.
  std::uint64_t resume() {
    folder_.remove_partial();
    folder_.restore_links();
    const auto latest = folder_.latest_step();
    if (!latest) return 0;
    const auto path = folder_.path_of(*latest);
    const auto found = checkpoint::read_metadata(path), expected = metadata(*latest);
    const auto require_same = [&](const char* what, const std::string& there, const std::string& here) {
      require(there == here, "cannot continue from ", path.string(), ": its ", what, " is\n  ", there,
              "\nbut this run's is\n  ", here,
              "\nUse another --save-dir, or the options that started that run");
    };
    require_same("experiment", found.experiment, expected.experiment);
    require_same("architecture", found.config.describe(), expected.config.describe());
    require_same("list of domains", nlohmann::json(found.domains).dump(),
                 nlohmann::json(expected.domains).dump());
    // A run goes on with what is known of its vocabulary by now.
    vocabulary_fingerprint_ = require_same_vocabulary({data_.data_bin.string(), data_.vocabulary_fingerprint},
                                                      {path.string(), found.vocabulary_fingerprint});
    checkpoint::load_values(path, model_);
    auto state = training_state();
    const auto scalars = nlohmann::json::parse(checkpoint::load_state(path, model_, state));
    require_same("training settings", scalars.at("settings").dump(),
                 settings_for_resume(settings_, comm_.size(), facts_).dump());
    require_same_text(path.string(), scalars.value("text", nlohmann::json()), data_.data_bin, text_);
    tokens_seen_ = scalars.at("tokens");
    best_.step = scalars.at("best_step");
    if (best_.step > 0) best_.average = scalars.at("best_average_perplexity");
    saved_best_ = best_;
    saved_validation_due_ = validation_due_ = scalars.value("validation_due", false);
    folder_.point("checkpoint_last", *latest);
    if (best_.step > 0 && std::filesystem::is_directory(folder_.path_of(best_.step)))
      folder_.point("checkpoint_best", best_.step);
    if (settings_.keep_checkpoints > 0) folder_.keep_newest(settings_.keep_checkpoints);
    return *latest;
  }

  checkpoint::TrainingState<Model> training_state() {
    return {{{"adam_m", &adam_.first_moment()}, {"adam_v", &adam_.second_moment()}}, {}};
  }

  checkpoint::Metadata metadata(std::uint64_t step) const {
    return {settings_.experiment, model_.dictionary_config(), model_.domains(), vocabulary_fingerprint_,
            step};
  }

  /// The norm of the gradient of the summed loss by what is trained. Throws when a span's is not finite.
  double gradient_norm() {
    const auto& trained = adam_.trained();
    const auto squares = optim::square_norms(model_.device(), gradients_, trained, scratch_);
    double sum = 0;
    for (std::size_t s = 0; s < squares.size(); ++s) {
      const std::size_t region = trained[s].region;
      if (!std::isfinite(squares[s]))
        fail_not_finite("the gradient",
                        region == 0 ? std::string("of the shared parameters")
                                    : "of the expert of domain '" + model_.domains()[region - 1] + "'");
      sum += squares[s];
    }
    return std::sqrt(sum);
  }

  [[noreturn]] void fail_not_finite(const std::string& what, const std::string& where) const {
    const auto latest = folder_.latest_step();
    throw Error(
        concat("update ", step_ + 1, ": ", what, " ", where, " is not finite; the last good checkpoint is ",
               latest ? folder_.path_of(*latest).string() : std::string("none: nothing was saved yet"),
               ". A lower --lr or a longer --warmup-updates may help"));
  }

  bool due(std::uint64_t interval) const { return interval > 0 && step_ % interval == 0; }
  bool last() const { return step_ == settings_.max_update; }

  struct Best {
    std::uint64_t step = 0;  // 0: none yet
    double average = std::numeric_limits<double>::infinity();
  };

  Model& model_;
  Comm& comm_;
  const TrainingData& data_;
  const Settings settings_;
  const nlohmann::json facts_;  // of an adaptation
  std::string vocabulary_fingerprint_;
  const nlohmann::json text_;  // what tells it from other text
  const data::TrainBatcher batcher_;
  const optim::PolynomialDecay schedule_;
  typename Model::Arena gradients_;
  optim::Adam<Model> adam_;
  device::Array<typename Model::DeviceType, typename Model::Arena::value_type> scratch_;
  checkpoint::CheckpointFolder folder_;
  const FileLock lock_;

  std::uint64_t tokens_seen_ = 0;
  Best best_, saved_best_;
  bool validation_due_ = false;        // of the last update
  bool saved_validation_due_ = false;  // in the checkpoint of the last update
  std::uint64_t step_;                 // updates done
  MetricsLog metrics_;
  Progress progress_;
};

}  // namespace demix::train
