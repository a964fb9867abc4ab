#pragma once
// Where a checkpoint lies, and where nothing may be written.

#include <filesystem>
#include <string>

#include "demix/checkpoint/metadata.hpp"
#include "demix/core/durable.hpp"

namespace demix::checkpoint {

/// Where a path leads now. Reading by this name reads one step's files, also while a trainer moves its link
/// checkpoint_last.
inline std::filesystem::path resolve(const std::filesystem::path& path) {
  std::error_code code;
  auto resolved = std::filesystem::weakly_canonical(std::filesystem::absolute(path), code);
  durable::check(code, path, "follow this path");
  return resolved;
}

/// Whether `path` is `folder` or lies in it, links followed; neither needs to exist.
inline bool lies_in(const std::filesystem::path& path, const std::filesystem::path& folder) {
  const auto way = resolve(path).lexically_relative(resolve(folder));
  return !way.empty() && *way.begin() != "..";
}

/// Whether a folder's model.h5 is a checkpoint's. Never throws.
inline bool is_checkpoint(const std::filesystem::path& folder) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(model_file(folder), ignored) &&
         hdf5::has_attribute(model_file(folder), "demix_version");
}

/// Throws Error when `folder`, where something is to be written, is a checkpoint or lies in one.
inline void require_outside_checkpoints(const std::filesystem::path& folder) {
  for (auto place = resolve(folder);; place = place.parent_path()) {
    require(!is_checkpoint(place), folder.string(), ": lies in the checkpoint ", place.string(),
            ", which must stay as it is; choose another place");
    if (place == place.parent_path()) return;
  }
}

}  // namespace demix::checkpoint
