#pragma once
// Where nothing may be written: in a checkpoint.

#include <filesystem>
#include <string>

#include "demix/checkpoint/metadata.hpp"
#include "demix/core/place.hpp"

namespace demix::checkpoint {

/// Whether a folder's model.h5 is a checkpoint's. Never throws.
inline bool is_checkpoint(const std::filesystem::path& folder) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(model_file(folder), ignored) &&
         hdf5::has_attribute(model_file(folder), "demix_version");
}

/// Throws Error when `folder`, where something is to be written, is a checkpoint or lies in one.
inline void require_outside_checkpoints(const std::filesystem::path& folder) {
  for (auto place = resolve(folder);; place = place.parent_path()) {
    require(!is_checkpoint(place), folder, ": lies in the checkpoint ", place,
            ", which must stay as it is; choose another place");
    if (place == place.parent_path()) return;
  }
}

}  // namespace demix::checkpoint
