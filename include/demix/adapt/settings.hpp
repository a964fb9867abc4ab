#pragma once
// What an adaptation is told.

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>

#include "demix/checkpoint/metadata.hpp"
#include "demix/train/settings.hpp"

namespace demix::adapt {

/// feedforward: what the new domain has for itself, or where it has nothing, the feed-forward layers of all
/// blocks. full: everything.
enum class Mode { feedforward, full };

struct Settings {
  std::filesystem::path data, checkpoint;
  std::string domain;
  Mode mode = Mode::feedforward;
  std::string from;              // empty: where the posterior chooses
  std::optional<float> dropout;  // else the base's
  train::Settings training;
};

inline const char* name_of(Mode mode) { return mode == Mode::full ? "full" : "feedforward"; }

/// A tenth of the updates that the base has had, unless `given` says how many, and ten validations in them.
inline train::Recipe recipe(const checkpoint::Metadata& base, std::optional<std::uint64_t> given) {
  const auto tenth = [](std::uint64_t n) { return std::max<std::uint64_t>(1, n / 10); };
  const std::uint64_t updates = given ? *given : tenth(base.step);
  return {updates, tenth(updates), tenth(updates)};
}

}  // namespace demix::adapt
