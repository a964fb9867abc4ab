#pragma once
// One process at a time: the one lock of the library.

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "demix/core/error.hpp"

namespace demix {

/// Holds a place for this process while it lives, by an empty file there, or a folder, which NFS cannot lock;
/// the system lets go of it when the process dies, however it dies.
class FileLock {
 public:
  /// Takes the file `path`, created where missing, for work in `place`. Throws Error when another process, or
  /// another FileLock of this one, holds it, or when the file cannot be made. Warns, once, where the file
  /// system (some of those of clusters) has no locks.
  FileLock(const std::filesystem::path& path, const std::filesystem::path& place) {
    std::error_code code;
    auto lock = attempt(path, O_RDWR | O_CREAT, code);
    require(code != std::errc::operation_would_block, "another process is at work in '", place,
            "'; wait for it, or use another place");
    require(lock.has_value(), "cannot open '", path, "': ", code);
    std::swap(descriptor_, lock->descriptor_);
  }

  /// The lock, or nothing and why not: operation_would_block while another holds it, or what open(2) with
  /// `flags` said.
  static std::optional<FileLock> attempt(const std::filesystem::path& path, int flags,
                                         std::error_code& code) {
    for (;;) {
      FileLock lock(::open(path.c_str(), flags | O_CLOEXEC, 0666));
      const bool open = lock.descriptor_ >= 0,
                 locked = open && ::flock(lock.descriptor_, LOCK_EX | LOCK_NB) == 0;
      code = std::error_code(locked ? 0 : errno, std::generic_category());
      if (code == std::errc::interrupted) continue;
      if (!open || code == std::errc::operation_would_block) return std::nullopt;
      if (code) warn(path, code);
      code.clear();
      // The one who held it may have removed the file meanwhile; then this is a lock of nothing.
      struct stat held {
      }, named{};
      if (::fstat(lock.descriptor_, &held) == 0 && ::stat(path.c_str(), &named) == 0 &&
          held.st_dev == named.st_dev && held.st_ino == named.st_ino)
        return lock;
    }
  }

  ~FileLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  /// Of the open file.
  int descriptor() const { return descriptor_; }

  FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}

  static void warn(const std::filesystem::path& path, const std::error_code& code) {
    static const bool once =
        std::fprintf(stderr,
                     "warning: no protection against a second process in '%s': this file "
                     "system has no locks (%s)\n",
                     path.parent_path().c_str(), code.message().c_str()) > 0;
    static_cast<void>(once);
  }

  int descriptor_ = -1;
};

}  // namespace demix
