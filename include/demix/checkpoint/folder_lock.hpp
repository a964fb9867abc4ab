#pragma once
// One process at a time in a run's folder.

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "demix/core/error.hpp"

namespace demix::checkpoint {

/// Holds a folder for this process while it lives; the system lets go of it when the process dies, however it
/// dies.
class FolderLock {
 public:
  /// Throws Error when another process holds the folder, or when its file `.lock` cannot be made. Warns where
  /// the file system (some of those of clusters) has no locks.
  explicit FolderLock(const std::filesystem::path& folder) {
    const auto path = folder / ".lock";
    descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    require(descriptor_ >= 0, "cannot open '", path.string(), "': ", std::strerror(errno));
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
    const int error = errno;
    if (error == EWOULDBLOCK) {
      ::close(descriptor_);
      throw Error(concat("another process is at work in '", folder.string(),
                         "'; wait for it, or use another folder"));
    }
    std::fprintf(
        stderr,
        "warning: no protection against a second process in '%s': this file system has no locks (%s)\n",
        folder.c_str(), std::strerror(error));
  }
  ~FolderLock() { ::close(descriptor_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace demix::checkpoint
