#pragma once
// A folder that is filled under a temporary name, so that nobody takes half of it for the whole.

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>

#include "demix/core/durable.hpp"
#include "demix/core/error.hpp"

namespace demix::data {

/// TARGET.demix-partial. Removed at the end, with what was not moved out of it; what a killed run left is
/// removed by the next one.
class StagingFolder {
 public:
  /// Throws Error when the folder cannot be created, or another process is filling it.
  explicit StagingFolder(const std::filesystem::path& target)
      : target_(target), path_(target.string() + ".demix-partial") {
    std::error_code error;
    std::filesystem::create_directories(path_, error);
    require(!error, "cannot create '", path_.string(), "': ", error.message());
    lock_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock_ < 0 || ::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
      const int reason = errno;
      if (lock_ >= 0) ::close(lock_);
      throw Error(reason == EWOULDBLOCK
                      ? concat("another process is preparing '", target.string(), "'")
                      : concat("cannot lock '", path_.string(), "': ", std::strerror(reason)));
    }
    for (const auto& left_over : std::filesystem::directory_iterator(path_))
      std::filesystem::remove_all(left_over);
  }
  ~StagingFolder() {
    std::error_code ignored;
    if (!published_) std::filesystem::remove_all(path_, ignored);
    ::close(lock_);
  }
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  /// Gives the whole folder its name; an empty folder of that name may exist. Throws Error.
  void publish() {
    durable::rename(path_, target_);
    published_ = true;
  }

  /// Moves one entry into the target folder, which exists. Throws Error.
  void publish(const std::string& name) { durable::rename(path_ / name, target_ / name); }

 private:
  std::filesystem::path target_, path_;
  int lock_ = -1;
  bool published_ = false;
};

}  // namespace demix::data
