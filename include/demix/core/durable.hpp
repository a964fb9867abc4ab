#pragma once
// File operations that survive a killed process and a power failure: what is not complete has a hidden name
// that ends in ".partial", and a rename makes it visible.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>

#include "demix/core/error.hpp"

namespace demix::durable {

namespace fs = std::filesystem;

/// Throws Error "PATH: cannot WHAT: REASON" when `code` is an error.
inline void check(const std::error_code& code, const fs::path& path, const char* what) {
  require(!code, path.string(), ": cannot ", what, ": ", code.message());
}

/// Returns when the content of a file, or the entries of a directory, are on the disk.
inline void sync(const fs::path& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool ok = file >= 0 && ::fsync(file) == 0;
  const std::error_code code(ok ? 0 : errno, std::generic_category());
  if (file >= 0) ::close(file);
  check(code, path, "write through to the disk");
}

/// The folder that `path` is an entry of.
inline fs::path parent(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// The hidden name beside `path` that its content has until it is complete.
inline fs::path partial(const fs::path& path) {
  return parent(path) / concat(".", path.filename().string(), ".partial");
}

/// Whether a file name is one that partial() makes of a name that starts with `prefix`.
inline bool is_partial(const std::string& name, const std::string& prefix) {
  return name.starts_with("." + prefix) && name.ends_with(".partial");
}

inline void remove_all(const fs::path& path) {
  std::error_code code;
  fs::remove_all(path, code);
  check(code, path, "remove");
}

/// Gives `from` the name `to`, for good: the folder is on the disk afterwards.
inline void rename(const fs::path& from, const fs::path& to) {
  std::error_code code;
  fs::rename(from, to, code);
  check(code, to, "give this name to what was written");
  sync(parent(to));
}

}  // namespace demix::durable
