#pragma once
// What a person sees while training runs.

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

#include "demix/core/live_line.hpp"

namespace demix::train {

/// "2h03m", "4m05s", "17s".
inline std::string short_duration(double seconds) {
  const auto s = std::llround(seconds);
  char text[48];
  if (s >= 3600)
    std::snprintf(text, sizeof text, "%lldh%02lldm", s / 3600, s / 60 % 60);
  else if (s >= 60)
    std::snprintf(text, sizeof text, "%lldm%02llds", s / 60, s % 60);
  else
    std::snprintf(text, sizeof text, "%llds", s);
  return text;
}

/// The live line of a training run.
class Progress {
 public:
  Progress(std::uint64_t first_update, std::uint64_t last_update, std::uint64_t log_interval)
      : first_(first_update), last_(last_update), log_interval_(log_interval) {}

  /// After an update: renews the live line, or prints one every `log_interval` updates.
  void update(std::uint64_t step, double loss, double learning_rate, double tokens_per_second) {
    if (!line_.terminal() && step % log_interval_ != 0 && step != last_) return;
    const double left = seconds() / static_cast<double>(step - first_) * static_cast<double>(last_ - step);
    char text[160];
    std::snprintf(text, sizeof text, "update %llu/%llu  loss %.4f  lr %.2e  %.0f tokens/s  %s left",
                  static_cast<unsigned long long>(step), static_cast<unsigned long long>(last_), loss,
                  learning_rate, tokens_per_second, short_duration(left).c_str());
    line_.show(text);
  }

  /// A line that stays.
  void message(const std::string& text) { line_.message(text); }

  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::uint64_t first_, last_, log_interval_;
  LiveLine line_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace demix::train
