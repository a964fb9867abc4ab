#pragma once
// The folder of a run: its checkpoints, its lock, and what a resumed run must have in common with it.

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "demix/checkpoint/checkpoint.hpp"
#include "demix/checkpoint/folder.hpp"
#include "demix/core/file_lock.hpp"
#include "demix/text/vocabulary_fingerprint.hpp"
#include "demix/train/run_state.hpp"
#include "demix/train/settings.hpp"
#include "demix/train/trainable_model.hpp"
#include "demix/train/training_data.hpp"

namespace demix::train {

/// What a run is, as far as a resumed one must be the same.
struct RunIdentity {
  std::string experiment;
  std::filesystem::path data_bin;
  std::string vocabulary_fingerprint;
  nlohmann::json text;      // text_identity
  nlohmann::json settings;  // settings_for_resume
};

/// Saves and loads the checkpoints of one run of a model and its optimizer. The folder belongs to rank 0,
/// which locks it, and decides what is the newest checkpoint, what links lead to and what is removed; all
/// ranks must see it, for each writes and reads what it holds. Everything here is collective, and throws on
/// all ranks.
template <device::Device D, Precision P, comm::Communicator Comm, optim::Optimizer<D, P> O>
class RunFolder {
 public:
  using OptimizerState = optim::OptimizerState<D, P, O>;

  using Ranks = comm::Agreement<D, Comm>;

  /// Model, state and ranks must outlive this. Creates and locks the folder. Throws Error when another run
  /// has it.
  RunFolder(const std::filesystem::path& save_dir, std::size_t keep_checkpoints, RunIdentity identity,
            TrainableModel<D, P>& model, OptimizerState& optimizer, Ranks& ranks, comm::Placement placement)
      : identity_(std::move(identity)),
        keep_checkpoints_(keep_checkpoints),
        model_(model),
        optimizer_(optimizer),
        ranks_(ranks),
        placement_(std::move(placement)),
        folder_(ranks.together([&] { return checkpoint::CheckpointFolder(save_dir); })),
        lock_(ranks.together([&]() -> std::optional<FileLock> {
          if (!ranks.is_first()) return {};
          return FileLock(save_dir / ".lock", save_dir);
        })) {}

  /// The checkpoint that the run went on with; empty for a new one.
  const std::string& origin() const { return origin_; }
  /// Whether nothing was saved here yet.
  bool is_new() const { return saved_.step == 0; }
  /// Where the newest checkpoint is, in words.
  std::string last_good() const {
    return saved_.step > 0 ? path_of(saved_.step) : "none: nothing was saved yet";
  }
  std::string path_of(std::uint64_t step) const { return folder_.path_of(step).string(); }

  /// Loads the newest checkpoint into model and optimizer; where there is none, that of `start`. Throws Error
  /// when it is of another model, vocabulary, set of domains, text, or run; of `start`, text and settings may
  /// be others, and where it does not continue, or experts alone are trained, the domains too.
  RunState resume(const std::optional<Start>& start = {}) {
    first([&] {
      folder_.remove_partial();
      folder_.restore_links();
    });
    const auto latest = newest_step();
    if (!latest) return start ? ranks_.together([&] { return begin_with(*start); }) : RunState();
    origin_ = path_of(*latest);
    saved_ = ranks_.together([&] { return load(*latest); });
    first([&] { point_and_prune(saved_); });
    return saved_;
  }

  /// Saves a checkpoint of the run as it is, unless it is there; links and removes what is due. Throws Error
  /// when that is not possible.
  void save(const RunState& run) {
    const bool is_there = saved_.step == run.step;
    if (!is_there || (saved_.validation_due && !run.validation_due)) {
      auto state = training_state();
      auto scalars = to_json(run);
      scalars["settings"] = identity_.settings;
      scalars["text"] = identity_.text;
      state.scalars = scalars.dump();
      const auto path = folder_.path_of(run.step);
      if (is_there)
        checkpoint::replace_scalars(model_.device(), path, metadata(run.step), state, ranks_, placement_);
      else
        checkpoint::save(path, metadata(run.step), model_, &state, ranks_, placement_);
    }
    saved_ = run;
    first([&] { point_and_prune(run); });
  }

  /// The best validation that a checkpoint on the disk has.
  const Best& saved_best() const { return saved_.best; }

 private:
  /// f() on rank 0.
  template <class F>
  void first(const F& f) {
    ranks_.together([&] {
      if (ranks_.is_first()) f();
    });
  }

  /// That of rank 0's folder.
  std::optional<std::uint64_t> newest_step() {
    const auto text = ranks_.said_by_first([&] {
      const auto step = folder_.latest_step();
      return step ? std::to_string(*step) : std::string();
    });
    return text.empty() ? std::nullopt : std::optional<std::uint64_t>(std::stoull(text));
  }

  /// What this rank holds of the checkpoint of a step, into model and optimizer.
  RunState load(std::uint64_t step) {
    const auto path = folder_.path_of(step);
    const checkpoint::Checkpoint from(path);
    const auto &found = from.metadata, expected = metadata(step);
    const auto require_same = [&](const char* what, const std::string& there, const std::string& here) {
      require_equal(path, what, there, here, "Use another save_dir, or the options that started that run");
    };
    require_same("experiment", found.experiment, expected.experiment);
    require_same("architecture", found.config.describe(), expected.config.describe());
    require_same("list of domains", nlohmann::json(found.domains).dump(),
                 nlohmann::json(expected.domains).dump());
    take_vocabulary_of(from);
    const checkpoint::SavedState saved(from);
    const auto scalars = nlohmann::json::parse(saved.scalars());
    require_same("training settings", settings_of(scalars).dump(), identity_.settings.dump());
    if (ranks_.is_first())
      require_same_text(path.string(), scalars.value("text", nlohmann::json()), identity_.data_bin,
                        identity_.text);
    load_all(from, saved);
    return run_state_of(scalars, step);
  }

  /// The beginning of a new run.
  RunState begin_with(const Start& start) {
    const checkpoint::Checkpoint from(start.checkpoint);
    origin_ = from.path.string();
    take_vocabulary_of(from);
    if (!start.continues) {
      checkpoint::load_values(from, model_);
      model_.weights().refresh();
      return {};
    }
    const auto is_shared = [](const auto& span) { return span.region.is_shared(); };
    if (std::ranges::any_of(optimizer_.trained(), is_shared))
      require_equal(from.path, "list of domains", nlohmann::json(from.metadata.domains).dump(),
                    nlohmann::json(model_.domains()).dump(), "A new run may begin with its weights alone");
    const checkpoint::SavedState saved(from);
    load_all(from, saved);
    RunState run;
    run.step = from.metadata.step;
    run.tokens = run_state_of(nlohmann::json::parse(saved.scalars()), run.step).tokens;
    return run;
  }

  void load_all(const checkpoint::Checkpoint& from, const checkpoint::SavedState& saved) {
    checkpoint::load_values(from, model_);
    auto state = training_state();
    saved.load(model_.device(), state, model_.domains());
    model_.weights().refresh();
  }

  /// A run goes on with what is known of its vocabulary by now.
  void take_vocabulary_of(const checkpoint::Checkpoint& from) {
    identity_.vocabulary_fingerprint =
        text::require_same_vocabulary({identity_.data_bin.string(), identity_.vocabulary_fingerprint},
                                      {from.path.string(), from.metadata.vocabulary_fingerprint});
  }

  static void require_equal(const std::filesystem::path& path, const char* what, const std::string& there,
                            const std::string& here, const char* remedy) {
    require(there == here, "cannot continue from ", path, ": its ", what, " is\n  ", there,
            "\nbut this run's is\n  ", here, "\n", remedy);
  }

  /// Those of a checkpoint; an older demix kept the number of its ranks, which was 1.
  static nlohmann::json settings_of(const nlohmann::json& scalars) {
    auto settings = scalars.at("settings");
    if (settings.value("ranks", 1) == 1) settings.erase("ranks");
    return settings;
  }

  void point_and_prune(const RunState& run) {
    folder_.point("checkpoint_last", run.step);
    if (run.best.step > 0 && std::filesystem::is_directory(folder_.path_of(run.best.step)))
      folder_.point("checkpoint_best", run.best.step);
    if (keep_checkpoints_ > 0) folder_.keep_newest(keep_checkpoints_);
  }

  /// What the optimizer keeps; and the master weights, where the checkpoint's float32 would round them.
  checkpoint::TrainingState<master_t<P>> training_state() {
    auto state = checkpoint::state_of(model_.layout(), optimizer_);
    if constexpr (!std::same_as<master_t<P>, float>)
      state.slots.push_back(checkpoint::weights_of(model_.layout(), model_.weights().master()));
    return state;
  }

  checkpoint::Metadata metadata(std::uint64_t step) const {
    return {identity_.experiment, model_.dictionary_config(), model_.domains(),
            identity_.vocabulary_fingerprint, step};
  }

  RunIdentity identity_;
  std::size_t keep_checkpoints_;
  TrainableModel<D, P>& model_;
  OptimizerState& optimizer_;
  Ranks& ranks_;
  const comm::Placement placement_;
  checkpoint::CheckpointFolder folder_;
  const std::optional<FileLock> lock_;  // of rank 0
  RunState saved_;                      // of the newest checkpoint
  std::string origin_;
};

}  // namespace demix::train
