#pragma once
// A training run: updates, validation, checkpoints and metrics, top to bottom.

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "demix/core/stop_signal.hpp"
#include "demix/optim/adam.hpp"
#include "demix/optim/schedule.hpp"
#include "demix/train/run_end.hpp"
#include "demix/train/run_folder.hpp"
#include "demix/train/run_log.hpp"
#include "demix/train/soundness.hpp"
#include "demix/train/updates.hpp"
#include "demix/train/validation.hpp"

namespace demix::train {

/// One rank's part of a run. All ranks go through the same updates, validations and saves: that a signal or a
/// failure came to one of them is known to all at the same place.
template <device::Device D, Precision P, comm::Communicator Comm, optim::Optimizer<D, P> O = optim::Adam>
class Trainer {
 public:
  /// Model and data must outlive the trainer, and are of what the placement gives this rank: data.domains are
  /// the model's domains of the texts placement.domains. Without an adaptation all parameters are trained.
  /// Creates the save folder, which all ranks must see; when it holds a checkpoint, continues from the newest
  /// one, whatever the number of ranks that wrote it, else from settings.start. Throws Error when that is of
  /// another model, vocabulary, set of domains, text, or run. Collective.
  Trainer(TrainableModel<D, P>& model, Comm comm, const comm::Placement& placement, const TrainingData& data,
          const Settings& settings, const typename O::Settings& optimizer,
          const std::optional<Adaptation>& adaptation = {})
      : model_(model),
        data_(data),
        settings_(settings),
        placement_(placement),
        batcher_(data.train,
                 batch_texts(data, placement, adaptation ? adaptation->numbers : std::vector<std::size_t>()),
                 settings.sampling, settings.batch_size, settings.seed, {placement.part, placement.parts}),
        updates_(model, batcher_, std::move(comm), placement,
                 {settings.update_freq, settings.clip_norm, settings.seed,
                  adaptation && adaptation->experts_apart},
                 optimizer,
                 adaptation ? adaptation->trained : optim::whole_regions(model.weights().master())),
        ranks_(updates_.agreement()),
        folder_(settings.save_dir, settings.keep_checkpoints,
                {settings.experiment, data.data_bin, data.vocabulary_fingerprint,
                 text_identity(data, model.domains(), ranks_),
                 settings_for_resume(settings, placement.replicas, O::facts(optimizer),
                                     adaptation ? adaptation->facts : nlohmann::json())},
                model, updates_.state(), ranks_, placement),
        run_(folder_.resume(settings.start)),
        schedule_{settings.learning_rate,
                  settings.warmup_updates,
                  settings.total_num_update.value_or(settings.max_update),
                  settings.end_learning_rate,
                  settings.power,
                  run_.warmup_ahead},
        end_(settings, run_),
        log_(ranks_.together([&] { return ranks_.is_first() ? RunLog(run_, settings_) : RunLog(); })) {
    require(!folder_.is_new() || run_.step < settings.max_update, folder_.origin(), " has had ", run_.step,
            " updates already, so a run of ", settings.max_update, " has none to do");
  }

  std::uint64_t step() const { return run_.step; }
  /// The signal that stopped the run, on this rank or another; 0: none did.
  int stopped_by() const { return stopped_by_; }

  /// Trains to the last update, or to where patience or time end. `poll` is called before each micro-batch
  /// and each batch of validation; when it throws Stopped on any rank, an update that is not whole is
  /// dropped, the rest saved, and false returned. Throws Error at a loss, perplexity or gradient that is not
  /// finite; the checkpoints on disk are then all from before it. Collective; what one rank throws, all do.
  bool run(const std::function<void()>& poll) {
    if (!folder_.origin().empty())
      log_.message(
          concat(run_.step > 0 ? "continuing from " : "beginning with the weights of ", folder_.origin()));
    try {
      if (run_.validation_due) finish_update(poll);  // the run was stopped in it
      while (!end_.reached(run_)) {
        update(poll);
        run_.validation_due =
            settings_.validates &&
            (end_.reached(run_) || due(settings_.validate_interval) || due(settings_.save_interval));
        finish_update(poll);
      }
    } catch (const Stopped& signal) {
      stopped_by_ = signal.signal();
      log_.message(stopped());
      return false;
    } catch (const comm::RankLost& lost) {
      throw comm::RankLost(concat(lost.what(), "; the last good checkpoint is ", folder_.last_good()));
    }
    if (const auto why = end_.why(run_); !why.empty()) log_.message(why);
    return true;
  }

 private:
  void update(const std::function<void()>& poll) {
    log_.begin_update();
    const double learning_rate = schedule_.learning_rate(run_.step + 1);
    const UpdateReport report = updates_.update(run_.step + 1, learning_rate, poll);
    require_tokens(report, run_.step + 1, settings_.update_freq);
    if (const auto what = not_finite(report, model_.domains())) fail_not_finite(*what);
    ++run_.step;
    run_.tokens += static_cast<std::uint64_t>(report.all_tokens());
    run_.seconds = end_.seconds(ranks_);
    log_.end_update(run_, report, learning_rate, model_.domains());
  }

  /// Validation and saving, where they are due; a new best average perplexity is saved and kept.
  void finish_update(const std::function<void()>& poll) {
    if (run_.validation_due) validate_now(poll);
    if (end_.reached(run_))
      save();
    else if (due(settings_.save_interval) || run_.best.step == run_.step)
      save_or_go_on();
  }

  void validate_now(const std::function<void()>& poll) {
    const Validation found = validation(poll);
    if (!std::isfinite(found.average))
      fail_not_finite("the average validation perplexity (" + RunLog::line(run_.step, found) + ")");
    ++run_.validations_without_best;
    if (found.average < run_.best.average) {
      run_.best = {run_.step, found.average};
      run_.validations_without_best = 0;
    }
    run_.validation_due = false;
    log_.validated(run_, found);
  }

  Validation validation(const std::function<void()>& poll) {
    try {
      return validate(model_, data_, placement_, ranks_, settings_.validation, poll);
    } catch (const Stopped&) {
      throw;
    } catch (const comm::RankLost&) {
      throw;
    } catch (const std::exception& error) {
      throw Error(concat("update ", run_.step, ": validation: ", error.what(),
                         "; the last good checkpoint is ", folder_.last_good()));
    }
  }

  void save() {
    ranks_.together([&] { log_.complete(); });
    if (settings_.saves) folder_.save(run_);
  }

  /// Saves, where training can go on without; a best that could not be saved is none.
  void save_or_go_on() {
    try {
      save();
    } catch (const comm::RankLost&) {
      throw;
    } catch (const std::exception& error) {
      run_.best = folder_.saved_best();
      const auto interval = settings_.save_interval;
      const auto next = interval ? std::min(run_.step - run_.step % interval + interval, settings_.max_update)
                                 : settings_.max_update;
      log_.message(concat("update ", run_.step, " cannot be saved: ", error.what(),
                          "\nTraining goes on; the next attempt is at the latest after update ", next));
    }
  }

  [[noreturn]] void fail_not_finite(const std::string& what) const {
    throw Error(concat("update ", run_.step + 1, ": ", what, " is not finite; the last good checkpoint is ",
                       folder_.last_good(), ". A lower learning rate or a longer warm-up may help"));
  }

  /// Saves what a signal has left; the line that says so.
  std::string stopped() {
    if (run_.step == 0) return "stopped by a signal before the first update was done; nothing is to be saved";
    save();
    return concat("stopped by a signal ", run_.validation_due ? "in the validation " : "", "after update ",
                  run_.step,
                  settings_.saves ? ", saved; the same command continues from here" : "; nothing is saved");
  }

  bool due(std::uint64_t interval) const { return interval > 0 && run_.step % interval == 0; }

  TrainableModel<D, P>& model_;
  const TrainingData& data_;
  const Settings settings_;
  const comm::Placement placement_;
  const data::TrainBatcher batcher_;
  Updates<D, P, Comm, O> updates_;
  comm::Agreement<D, Comm>& ranks_;
  RunFolder<D, P, Comm, O> folder_;
  RunState run_;
  int stopped_by_ = 0;
  const optim::PolynomialDecay schedule_;
  const RunEnd end_;
  RunLog log_;
};

}  // namespace demix::train
