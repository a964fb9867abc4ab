#pragma once
// A training run: updates, validation, checkpoints and metrics, top to bottom.

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "demix/core/stop_signal.hpp"
#include "demix/eval/perplexity.hpp"
#include "demix/optim/adam.hpp"
#include "demix/optim/schedule.hpp"
#include "demix/text/dictionary.hpp"
#include "demix/train/metrics.hpp"
#include "demix/train/progress.hpp"
#include "demix/train/run_folder.hpp"
#include "demix/train/updates.hpp"

namespace demix::train {

template <device::Device D, Precision P, comm::Communicator Comm, optim::Optimizer<D, P> O = optim::Adam>
class Trainer {
 public:
  /// Model and data must outlive the trainer. Without an adaptation all parameters are trained. Creates the
  /// save folder; when it holds a checkpoint, continues from the newest one. Throws Error when that is of
  /// another model, vocabulary, set of domains, text, or run. Collective.
  Trainer(TrainableModel<D, P>& model, Comm comm, const comm::Placement& placement, const TrainingData& data,
          const Settings& settings, const typename O::Settings& optimizer,
          const std::optional<Adaptation>& adaptation = {})
      : model_(model),
        data_(data),
        settings_(settings),
        batcher_(data.train, data::numbered(data.domains), settings.sampling, settings.batch_size,
                 settings.seed),
        schedule_{settings.learning_rate, settings.warmup_updates, settings.max_update},
        updates_(model, batcher_, std::move(comm), placement,
                 {settings.update_freq, settings.clip_norm, settings.seed}, optimizer,
                 adaptation ? adaptation->trained : optim::whole_regions(model.weights().master())),
        folder_(settings.save_dir, settings.keep_checkpoints,
                {settings.experiment, data.data_bin, data.vocabulary_fingerprint,
                 text_identity(data, model.domains()),
                 settings_for_resume(settings, placement.replicas, O::facts(optimizer),
                                     adaptation ? adaptation->facts : nlohmann::json())},
                model, updates_.state()),
        run_(folder_.resume()),
        metrics_(settings.save_dir / "metrics.jsonl", run_.step, run_.validation_due),
        progress_(run_.step, settings.max_update, settings.log_interval) {}

  std::uint64_t step() const { return run_.step; }

  /// Trains to the last update. `poll` is called before each micro-batch and each batch of validation; when
  /// it throws Stopped, an update that is not whole is dropped, the rest saved, and false returned. Throws
  /// Error at a loss, perplexity or gradient that is not finite; the checkpoints on disk are then all from
  /// before it.
  template <class Poll>
  bool run(const Poll& poll) {
    if (run_.step > 0) progress_.message(concat("continuing from ", folder_.path_of(run_.step)));
    try {
      if (run_.validation_due) finish_update(poll);  // the run was stopped in it
      while (run_.step < settings_.max_update) {
        update(poll);
        run_.validation_due = last() || due(settings_.validate_interval);
        finish_update(poll);
      }
    } catch (const Stopped&) {
      if (run_.step > 0) save();
      progress_.message(run_.step == 0
                            ? "stopped by a signal before the first update was done; nothing is to be saved"
                            : concat("stopped by a signal ", run_.validation_due ? "in the validation " : "",
                                     "after update ", run_.step,
                                     ", saved; the same command continues from here"));
      return false;
    }
    return true;
  }

 private:
  template <class Poll>
  void update(const Poll& poll) {
    const double started = progress_.seconds(), learning_rate = schedule_.learning_rate(run_.step + 1);
    const UpdateReport report = updates_.update(run_.step + 1, learning_rate, poll);
    require_sound(report);
    const double tokens = report.all_tokens(), loss = report.mean_loss();
    ++run_.step;
    run_.tokens += static_cast<std::uint64_t>(tokens);

    const double rate = tokens / (progress_.seconds() - started);
    progress_.update(run_.step, loss, learning_rate, rate);
    if (run_.step % settings_.log_interval == 0 || last())
      log({{"type", "train"},
           {"step", run_.step},
           {"loss", loss},
           {"perplexity", std::exp(loss)},
           {"learning_rate", learning_rate},
           {"gradient_norm", report.gradient_norm()},
           {"tokens", run_.tokens},
           {"tokens_per_second", rate},
           {"loss_by_domain", report.losses_by_domain(model_.domains())}});
  }

  /// Validation and saving, where they are due; a new best average perplexity is saved and kept.
  template <class Poll>
  void finish_update(const Poll& poll) {
    if (run_.validation_due) validate(poll);
    if (last())
      save();
    else if (due(settings_.save_interval) || run_.best.step == run_.step)
      save_or_go_on();
  }

  /// Perplexity on every domain's validation text.
  template <class Poll>
  void validate(const Poll& poll) {
    std::vector<eval::Score> scores;
    nlohmann::ordered_json perplexities;
    std::string line = concat("update ", run_.step, " validation perplexity:");
    for (std::size_t d = 0; d < data_.valid.size(); ++d) {
      const auto& name = model_.domains()[index(data_.domains[d])];
      const auto sequences = eval::default_sequences(data_.valid[d].block_length());
      scores.push_back(eval::evaluate(model_.scorer(), data_.valid[d], data_.domains[d], sequences,
                                      settings_.max_valid_batches, poll));
      perplexities[name] = scores.back().perplexity();
      line += concat(" ", name, " ", scores.back().perplexity());
    }
    const double average = eval::average_perplexity(scores);
    if (!std::isfinite(average)) fail_not_finite("the average validation perplexity", "(" + line + ")");
    const bool best = average < run_.best.average;
    if (best) run_.best = {run_.step, average};
    run_.validation_due = false;
    progress_.message(concat(line, ", average ", average, best ? " (best so far)" : ""));
    log({{"type", "valid"},
         {"step", run_.step},
         {"perplexity", perplexities},
         {"average_perplexity", average},
         {"best_average_perplexity", run_.best.average},
         {"best_step", run_.best.step}});
  }

  /// A line of metrics. One that cannot be written now is no reason to lose the updates.
  void log(const nlohmann::ordered_json& object) {
    if (!metrics_.write(object))
      progress_.message(concat("cannot write ", (folder_.path() / "metrics.jsonl").string(),
                               ": is the disk full? Its lines are kept, and written when that is possible"));
  }

  void save() {
    metrics_.complete();
    folder_.save(run_);
  }

  /// Saves, where training can go on without; a best that could not be saved is none.
  void save_or_go_on() {
    try {
      save();
    } catch (const std::exception& error) {
      run_.best = folder_.saved_best();
      const auto interval = settings_.save_interval;
      const auto next = interval ? std::min(run_.step - run_.step % interval + interval, settings_.max_update)
                                 : settings_.max_update;
      progress_.message(concat("update ", run_.step, " cannot be saved: ", error.what(),
                               "\nTraining goes on; the next attempt is at the latest after update ", next));
    }
  }

  /// Throws Error for an update whose losses, perplexities or gradient are not numbers, or that has no token.
  void require_sound(const UpdateReport& report) const {
    for (std::size_t d = 0; d < report.losses.size(); ++d) {
      const std::string where = "on domain '" + model_.domains()[d] + "'";
      if (!std::isfinite(report.losses[d])) fail_not_finite("the loss", where);
      if (const double mean = report.losses[d] / report.tokens[d];
          report.tokens[d] > 0 && !has_perplexity(mean))
        fail_not_finite(concat("the perplexity of a mean loss of ", mean, " nats"), where);
    }
    require(report.all_tokens() > 0, "update ", run_.step + 1, ": its ", settings_.update_freq,
            " micro-batches have no target token, only padding (id ", pad_token,
            "): the train split holds it as if it were text; prepare the text again");
    for (std::size_t r = 0; r < report.squares.size(); ++r)
      if (!std::isfinite(report.squares[r]))
        fail_not_finite("the gradient", r == 0 ? std::string("of the shared parameters")
                                               : "of the expert of domain '" + model_.domains()[r - 1] + "'");
  }

  [[noreturn]] void fail_not_finite(const std::string& what, const std::string& where) const {
    throw Error(concat("update ", run_.step + 1, ": ", what, " ", where,
                       " is not finite; the last good checkpoint is ", folder_.last_good(),
                       ". A lower --lr or a longer --warmup-updates may help"));
  }

  bool due(std::uint64_t interval) const { return interval > 0 && run_.step % interval == 0; }
  bool last() const { return run_.step == settings_.max_update; }

  TrainableModel<D, P>& model_;
  const TrainingData& data_;
  const Settings settings_;
  const data::TrainBatcher batcher_;
  const optim::PolynomialDecay schedule_;
  Updates<D, P, Comm, O> updates_;
  RunFolder<D, P, O> folder_;
  RunState run_;
  MetricsLog metrics_;
  Progress progress_;
};

}  // namespace demix::train
