#pragma once
// A new folder that appears complete or not at all, also when several processes want it.

#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "demix/core/durable.hpp"
#include "demix/core/file_lock.hpp"

namespace demix::durable {

/// The hidden folder ".NAME.partial" beside PARENT/NAME, held by one process: `content()` in it is filled,
/// and publish() gives it its name. What a killed process left is replaced by the next one, and what a living
/// one writes is left alone. Everything that was not published is removed at the end.
class PartialFolder {
 public:
  /// Throws Error when something has the name already, when another process is writing it, or when the folder
  /// cannot be made.
  explicit PartialFolder(fs::path target) : target_(std::move(target)), path_(partial(target_)) {
    require_free();
    while (!lock_) {
      make(path_);
      std::error_code code;
      lock_ = FileLock::attempt(lock_file(path_), O_RDWR | O_CREAT, code);
      require(code != std::errc::operation_would_block, target_,
              ": another process is writing it now; wait for it, or choose another name");
      // One that has just ended takes the folder along: then it is made again.
      if (code != std::errc::no_such_file_or_directory) check(code, lock_file(path_), "create this file");
    }
    try {
      require_free();
      clear(path_);
      make(content());
    } catch (...) {
      remove_held(path_, lock_);
      throw;
    }
  }
  ~PartialFolder() { remove_held(path_, lock_); }
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  fs::path content() const { return content_of(target_); }
  /// Where the content of a folder that is being made lies, also for processes that help the one that holds
  /// it.
  static fs::path content_of(const fs::path& target) { return partial(target) / "content"; }

  /// Gives the content its name, on the disk when this returns. Throws Error when something else has got the
  /// name meanwhile.
  void publish() {
    sync(content());
    rename_new(content(), target_);
  }

  /// Removes what has such a name, unless a living process holds it.
  static void remove_abandoned(const fs::path& path) {
    std::error_code code;
    auto lock = FileLock::attempt(lock_file(path), O_RDWR, code);
    if (code != std::errc::operation_would_block) remove_held(path, lock);
  }

 private:
  static fs::path lock_file(const fs::path& path) { return path / "lock"; }

  static void make(const fs::path& path) {
    std::error_code code;
    fs::create_directory(path, code);
    check(code, path, "create this directory");
    require(fs::is_directory(fs::symlink_status(path, code)), path, ": is in the way; remove it");
  }

  /// Removes all but the lock's file. Throws Error.
  static void clear(const fs::path& path) {
    for (const auto& entry : fs::directory_iterator(path))
      if (entry.path() != lock_file(path)) durable::remove_all(entry.path());
  }

  /// The lock's file goes last: until then others see that the folder is held, and from then on they may fill
  /// it themselves. It is closed before the folder goes, for NFS keeps open files.
  static void remove_held(const fs::path& path, std::optional<FileLock>& lock) noexcept {
    std::error_code ignored, unlisted;
    if (fs::is_directory(fs::symlink_status(path, ignored))) {
      for (fs::directory_iterator it(path, unlisted), end; !unlisted && it != end; it.increment(unlisted))
        if (it->path() != lock_file(path)) fs::remove_all(it->path(), ignored);
      fs::remove(lock_file(path), ignored);
    }
    lock.reset();
    fs::remove(path, ignored);
  }

  void require_free() const {
    std::error_code ignored;
    if (!fs::exists(fs::symlink_status(target_, ignored))) return;
    remove_abandoned(path_);
    throw Error(concat(target_.string(),
                       ": exists already; a checkpoint never replaces another, remove it or choose another "
                       "name"));
  }

  fs::path target_, path_;
  std::optional<FileLock> lock_;
};

}  // namespace demix::durable
