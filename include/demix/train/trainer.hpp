#pragma once
// The training loop: batches, gradients, ranks, optimizer, validation, checkpoints, top to bottom.

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
#include "demix/train/stop_signal.hpp"

namespace demix::train {

/// The text of a run: train[d] and valid[d] are of the model's domain domains[d].
struct TrainingData {
  std::string vocabulary_fingerprint;
  std::vector<DomainId> domains;
  std::vector<data::BlockDataset> train, valid;
};

template <class Model, comm::Communicator Comm>
class Trainer {
 public:
  /// Model, communicator and data must outlive the trainer. Without an adaptation all parameters are trained.
  /// Creates the save folder; when it holds a checkpoint, continues from the newest one. Throws Error when
  /// that is of another model, vocabulary, set of domains, or run.
  Trainer(Model& model, Comm& comm, const TrainingData& data, const Settings& settings,
          std::optional<Adaptation> adaptation = {})
      : model_(model),
        comm_(comm),
        data_(data),
        settings_(settings),
        facts_(adaptation ? adaptation->facts : nlohmann::json()),
        batcher_(data.train, data.domains, settings.sampling, settings.batch_size, settings.seed),
        schedule_{settings.learning_rate, settings.warmup_updates, settings.max_update},
        gradients_(model.make_arena()),
        adam_(model, settings.adam, adaptation ? adaptation->trained : optim::whole_regions(gradients_)),
        scratch_(model.device()),
        folder_(settings.save_dir),
        lock_(settings.save_dir / ".lock", settings.save_dir),
        step_(resume()),
        metrics_(settings.save_dir / "metrics.jsonl", step_),
        progress_(step_, settings.max_update, settings.log_interval) {}

  std::uint64_t step() const { return step_; }

  /// Trains to the last update. Returns false when a signal ended it earlier, after saving. Throws Error at a
  /// loss or gradient that is not finite; the checkpoints on disk are then all from before it.
  bool run(StopSignal& stop) {
    if (step_ > 0) progress_.message(concat("continuing from ", folder_.path_of(step_).string()));
    while (step_ < settings_.max_update) {
      update();
      const bool last = step_ == settings_.max_update;
      if (last || due(settings_.validate_interval)) validate();
      if (last || due(settings_.save_interval)) save();
      if (!last && stop.received()) {
        save();
        progress_.message(concat("stopped by a signal after update ", step_,
                                 ", saved; the same command continues from here"));
        return false;
      }
    }
    return true;
  }

 private:
  /// One optimizer update: `update_freq` micro-batches, the gradient of the mean loss over all their tokens,
  /// clipping, Adam.
  void update() {
    const double started = progress_.seconds();
    const std::size_t domains = model_.domains().size();
    gradients_.fill_zero();
    // The sum of losses of each domain, then the count of its tokens.
    std::vector<double> totals(2 * domains);
    for (std::uint64_t micro = 0; micro < settings_.update_freq; ++micro) {
      const std::uint64_t position =
          (step_ * settings_.update_freq + micro) * static_cast<std::uint64_t>(comm_.size()) +
          static_cast<std::uint64_t>(comm_.rank());
      const Batch batch = batcher_.batch(position);
      const ops::Dropout dropout{model_.config().dropout, settings_.seed,
                                 static_cast<std::uint32_t>(position)};
      add_losses(batch, model_.accumulate_gradients(batch, dropout, gradients_), totals);
    }
    comm_.all_reduce_sum(totals);
    for (std::size_t r = 0; r < gradients_.regions(); ++r) comm_.all_reduce_region(r, gradients_.region(r));

    double loss = 0, tokens = 0;
    for (std::size_t d = 0; d < domains; ++d) {
      if (!std::isfinite(totals[d])) fail_not_finite("the loss", "on domain '" + model_.domains()[d] + "'");
      loss += totals[d];
      tokens += totals[domains + d];
    }
    const double norm = gradient_norm() / tokens;
    const double learning_rate = schedule_.learning_rate(step_ + 1);
    adam_.step(model_, gradients_, step_ + 1, learning_rate,
               optim::clip_factor(norm, settings_.clip_norm) / tokens);
    ++step_;
    tokens_seen_ += static_cast<std::uint64_t>(tokens);

    const double rate = tokens / (progress_.seconds() - started);
    progress_.update(step_, loss / tokens, learning_rate, rate);
    if (step_ % settings_.log_interval == 0 || step_ == settings_.max_update)
      metrics_.write({{"type", "train"},
                      {"step", step_},
                      {"loss", loss / tokens},
                      {"perplexity", std::exp(loss / tokens)},
                      {"learning_rate", learning_rate},
                      {"gradient_norm", norm},
                      {"tokens", tokens_seen_},
                      {"tokens_per_second", rate},
                      {"loss_by_domain", losses_by_domain(totals)}});
  }

  /// Perplexity on every domain's validation text; a new best average is saved and kept.
  void validate() {
    std::vector<eval::Score> scores;
    nlohmann::ordered_json perplexities;
    std::string line = concat("update ", step_, " validation perplexity:");
    for (std::size_t d = 0; d < data_.valid.size(); ++d) {
      const DomainId domain = data_.domains[d];
      const auto& name = model_.domains()[static_cast<std::size_t>(index(domain))];
      const auto sequences = eval::default_sequences(data_.valid[d].block_length());
      scores.push_back(
          eval::evaluate(model_, data_.valid[d], domain, sequences, settings_.max_valid_batches));
      perplexities[name] = scores.back().perplexity();
      line += concat(" ", name, " ", scores.back().perplexity());
    }
    const double average = eval::average_perplexity(scores);
    const bool best = average < best_average_;
    if (best) {
      best_average_ = average;
      best_step_ = step_;
    }
    progress_.message(concat(line, ", average ", average, best ? " (best so far)" : ""));
    metrics_.write({{"type", "valid"},
                    {"step", step_},
                    {"perplexity", perplexities},
                    {"average_perplexity", average},
                    {"best_average_perplexity", best_average_},
                    {"best_step", best_step_}});
    if (best) save();
  }

  void save() {
    if (folder_.latest_step() != step_) {
      checkpoint::TrainingState<Model> state = training_state();
      state.scalars = nlohmann::json{{"tokens", tokens_seen_},
                                     {"best_average_perplexity", best_step_ ? best_average_ : 0},
                                     {"best_step", best_step_},
                                     {"settings", settings_for_resume()}}
                          .dump();
      checkpoint::save(folder_.path_of(step_), metadata(step_), model_, &state);
    }
    folder_.point("checkpoint_last", step_);
    if (best_step_ == step_) folder_.point("checkpoint_best", step_);
    if (settings_.keep_checkpoints > 0) folder_.keep_newest(settings_.keep_checkpoints);
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
    require_same("vocabulary fingerprint", found.vocabulary_fingerprint, expected.vocabulary_fingerprint);
    checkpoint::load_values(path, model_);
    auto state = training_state();
    const auto scalars = nlohmann::json::parse(checkpoint::load_state(path, model_, state));
    require_same("training settings", scalars.at("settings").dump(), settings_for_resume().dump());
    tokens_seen_ = scalars.at("tokens");
    best_step_ = scalars.at("best_step");
    if (best_step_ > 0) best_average_ = scalars.at("best_average_perplexity");
    folder_.point("checkpoint_last", *latest);
    if (best_step_ > 0 && std::filesystem::is_directory(folder_.path_of(best_step_)))
      folder_.point("checkpoint_best", best_step_);
    return *latest;
  }

  checkpoint::TrainingState<Model> training_state() {
    return {{{"adam_m", &adam_.first_moment()}, {"adam_v", &adam_.second_moment()}}, {}};
  }

  checkpoint::Metadata metadata(std::uint64_t step) const {
    return {settings_.experiment, model_.dictionary_config(), model_.domains(), data_.vocabulary_fingerprint,
            step};
  }

  /// What must not change between the parts of a resumed run, for it to equal an unbroken one.
  nlohmann::json settings_for_resume() const {
    nlohmann::json result{{"lr", settings_.learning_rate},
                          {"warmup-updates", settings_.warmup_updates},
                          {"max-update", settings_.max_update},
                          {"batch-size", settings_.batch_size},
                          {"update-freq", settings_.update_freq},
                          {"clip-norm", settings_.clip_norm},
                          {"adam-betas", {settings_.adam.beta1, settings_.adam.beta2}},
                          {"adam-eps", settings_.adam.eps},
                          {"weight-decay", settings_.adam.weight_decay},
                          {"seed", settings_.seed.value},
                          {"ranks", comm_.size()}};
    if (!facts_.is_null()) result["adaptation"] = facts_;
    return result;
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

  [[noreturn]] void fail_not_finite(const char* what, const std::string& where) const {
    const auto latest = folder_.latest_step();
    throw Error(
        concat("update ", step_ + 1, ": ", what, " ", where, " is not finite; the last good checkpoint is ",
               latest ? folder_.path_of(*latest).string() : std::string("none: nothing was saved yet"),
               ". A lower --lr or a longer --warmup-updates may help"));
  }

  static void add_losses(const Batch& batch, const std::vector<typename Model::T>& losses,
                         std::vector<double>& totals) {
    const std::size_t domains = totals.size() / 2;
    for (const auto& segment : batch.segments) {
      const auto d = static_cast<std::size_t>(index(segment.domain));
      for (std::size_t r = segment.first * batch.sequence_length; r < segment.last * batch.sequence_length;
           ++r) {
        totals[d] += static_cast<double>(losses[r]);
        totals[domains + d] += batch.target[r] != pad_token;
      }
    }
  }

  nlohmann::ordered_json losses_by_domain(const std::vector<double>& totals) const {
    nlohmann::ordered_json result;
    const std::size_t domains = totals.size() / 2;
    for (std::size_t d = 0; d < domains; ++d)
      if (totals[domains + d] > 0) result[model_.domains()[d]] = totals[d] / totals[domains + d];
    return result;
  }

  bool due(std::uint64_t interval) const { return interval > 0 && step_ % interval == 0; }

  Model& model_;
  Comm& comm_;
  const TrainingData& data_;
  const Settings settings_;
  const nlohmann::json facts_;  // of an adaptation
  const data::TrainBatcher batcher_;
  const optim::PolynomialDecay schedule_;
  typename Model::Arena gradients_;
  optim::Adam<Model> adam_;
  device::Array<typename Model::DeviceType, typename Model::Arena::value_type> scratch_;
  checkpoint::CheckpointFolder folder_;
  const FileLock lock_;

  std::uint64_t tokens_seen_ = 0, best_step_ = 0;
  double best_average_ = std::numeric_limits<double>::infinity();
  std::uint64_t step_;  // updates done
  MetricsLog metrics_;
  Progress progress_;
};

}  // namespace demix::train
