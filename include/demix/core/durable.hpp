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
  require(!code, path, ": cannot ", what, ": ", code);
}

/// Whether an errno of fsync means that data may be lost. All others say that this file system cannot be
/// asked, as some network and user-space ones for directories, and are no reason to stop.
inline bool loses_data(int error) { return error == EIO || error == ENOSPC || error == EDQUOT; }

/// Returns when the content of the open file or directory is on the disk. Throws Error.
inline void sync(int descriptor, const fs::path& path) {
  while (::fsync(descriptor) != 0) {
    if (errno == EINTR) continue;
    require(!loses_data(errno), path, ": cannot write through to the disk: ", std::strerror(errno));
    return;
  }
}

/// Returns when the content of a file, or the entries of a directory, are on the disk. A directory that may
/// not be read cannot be asked. Throws Error.
inline void sync(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const std::error_code code(descriptor < 0 ? errno : 0, std::generic_category());
  std::error_code ignored;
  if (code == std::errc::permission_denied && fs::is_directory(path, ignored)) return;
  check(code, path, "write through to the disk");
  try {
    sync(descriptor, path);
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  ::close(descriptor);
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

/// The same, for a name that nothing has: throws Error, and changes nothing, when something has it.
inline void rename_new(const fs::path& from, const fs::path& to) {
  int error = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0 ? 0 : errno;
  // Some file systems (NFS) cannot promise it in one step.
  if (error == EINVAL || error == ENOSYS || error == ENOTSUP) {
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(to, ignored)))
      error = EEXIST;
    else
      return durable::rename(from, to);
  }
  check(std::error_code(error, std::generic_category()), to, "give this name to what was written");
  sync(parent(to));
}

}  // namespace demix::durable
