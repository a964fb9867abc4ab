#pragma once
// When a run is over: by its updates, its patience or its time.

#include <array>
#include <chrono>
#include <string>

#include "demix/core/error.hpp"
#include "demix/train/run_state.hpp"
#include "demix/train/settings.hpp"

namespace demix::train {

class RunEnd {
 public:
  /// Of a run that has got so far, and goes on now.
  RunEnd(const Settings& settings, const RunState& run)
      : max_update_(settings.max_update),
        patience_(settings.patience),
        max_seconds_(settings.max_seconds),
        seconds_before_(run.seconds) {}

  bool reached(const RunState& run) const {
    return run.step >= max_update_ || out_of_patience(run) || out_of_time(run);
  }

  /// Why a run is over that has not had all its updates; empty for one that has.
  std::string why(const RunState& run) const {
    if (run.step >= max_update_) return "";
    return concat("the run is over after update ", run.step, " of ", max_update_, ": ",
                  out_of_time(run) ? concat("it has had its ", max_seconds_, " s")
                                   : concat("the last ", run.validations_without_best,
                                            " validations brought no new best average perplexity"));
  }

  /// The seconds that all parts of the run have had by the clock of rank 0; a part without a limit is not
  /// counted. Collective.
  template <class Ranks>
  double seconds(Ranks& ranks) const {
    if (max_seconds_ == 0) return seconds_before_;
    const std::chrono::duration<double> now = std::chrono::steady_clock::now() - began_;
    std::array<double, 1> of_first{ranks.is_first() ? seconds_before_ + now.count() : 0.0};
    ranks.sum(of_first);
    return of_first[0];
  }

 private:
  bool out_of_patience(const RunState& run) const {
    return patience_ > 0 && run.validations_without_best >= patience_;
  }
  bool out_of_time(const RunState& run) const { return max_seconds_ > 0 && run.seconds >= max_seconds_; }

  const std::uint64_t max_update_, patience_;
  const double max_seconds_, seconds_before_;
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace demix::train
