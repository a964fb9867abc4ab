#pragma once
// What a run tells while it goes on: progress on stderr, and metrics.jsonl.

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "demix/train/metrics.hpp"
#include "demix/train/progress.hpp"
#include "demix/train/run_state.hpp"
#include "demix/train/settings.hpp"
#include "demix/train/update_statistics.hpp"
#include "demix/train/validation.hpp"

namespace demix::train {

/// Tells it by rank 0; the log of another rank is silent.
class RunLog {
 public:
  /// Silent.
  RunLog() = default;
  /// Continues metrics.jsonl of the run's folder after what `run` has done. Throws Error like MetricsLog.
  RunLog(const RunState& run, const Settings& settings)
      : metrics_(
            std::make_unique<MetricsLog>(settings.save_dir / "metrics.jsonl", run.step, run.validation_due)),
        progress_(std::make_unique<Progress>(run.step, settings.max_update, settings.log_interval)),
        settings_(&settings) {}

  /// A line that stays.
  void message(const std::string& text) {
    if (progress_) progress_->message(text);
  }

  void begin_update() {
    if (progress_) began_ = progress_->seconds();
  }
  /// `run` is what the update made of it.
  void end_update(const RunState& run, const UpdateReport& report, double learning_rate,
                  const std::vector<std::string>& domains) {
    if (!progress_) return;
    const double rate = report.all_tokens() / (progress_->seconds() - began_), loss = report.mean_loss();
    progress_->update(run.step, loss, learning_rate, rate);
    if (run.step % settings_->log_interval == 0 || run.step == settings_->max_update)
      write({{"type", "train"},
             {"step", run.step},
             {"loss", loss},
             {"perplexity", std::exp(loss)},
             {"learning_rate", learning_rate},
             {"gradient_norm", report.gradient_norm()},
             {"tokens", run.tokens},
             {"tokens_per_second", rate},
             {"loss_by_domain", report.losses_by_domain(domains)}});
  }

  /// `run` knows already whether this validation was the best.
  void validated(const RunState& run, const Validation& validation) {
    if (!progress_) return;
    nlohmann::ordered_json perplexities;
    for (const auto& [domain, perplexity] : validation.perplexities) perplexities[domain] = perplexity;
    message(concat(line(run.step, validation), ", average ", validation.average,
                   run.best.step == run.step ? " (best so far)" : ""));
    write({{"type", "valid"},
           {"step", run.step},
           {"perplexity", perplexities},
           {"average_perplexity", validation.average},
           {"best_average_perplexity", run.best.average},
           {"best_step", run.best.step}});
  }
  /// The perplexities in one line.
  static std::string line(std::uint64_t step, const Validation& validation) {
    std::string text = concat("update ", step, " validation perplexity:");
    for (const auto& [domain, perplexity] : validation.perplexities)
      text += concat(" ", domain, " ", perplexity);
    return text;
  }

  /// Throws Error unless all lines of metrics are on the disk.
  void complete() {
    if (metrics_) metrics_->complete();
  }

 private:
  /// A line of metrics. One that cannot be written now is no reason to lose the updates.
  void write(const nlohmann::ordered_json& object) {
    if (!metrics_->write(object))
      message(concat("cannot write ", (settings_->save_dir / "metrics.jsonl").string(),
                     ": is the disk full? Its lines are kept, and written when that is possible"));
  }

  std::unique_ptr<MetricsLog> metrics_;
  std::unique_ptr<Progress> progress_;
  const Settings* settings_ = nullptr;
  double began_ = 0;
};

}  // namespace demix::train
