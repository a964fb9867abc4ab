#pragma once
// Where a path leads, and whether it lies in a folder.

#include <filesystem>
#include <system_error>

#include "demix/core/durable.hpp"

namespace demix {

/// Where a path leads now, from the root, links followed; what does not exist yet is taken as it stands.
/// Reading by this name reads one step's files, also while a trainer moves its link checkpoint_last. Throws
/// Error.
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

}  // namespace demix
