#pragma once
// A file that is read in pieces.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include "demix/core/error.hpp"

namespace demix {

/// A file that any thread may read at any place. It is not mapped: a file that is cut short while it is open
/// is an Error where its end is missed, not the end of the process.
class InputFile {
 public:
  /// `name` is what messages call it. Throws Error.
  InputFile(const std::filesystem::path& path, std::string name)
      : name_(std::move(name)), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    require(fd_ >= 0, "cannot open '", name_, "': ", std::strerror(errno));
  }
  explicit InputFile(const std::filesystem::path& path) : InputFile(path, path.string()) {}
  ~InputFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  InputFile(InputFile&& other) noexcept : name_(std::move(other.name_)), fd_(std::exchange(other.fd_, -1)) {}
  InputFile& operator=(InputFile&& other) noexcept {
    std::swap(name_, other.name_);
    std::swap(fd_, other.fd_);
    return *this;
  }

  const std::string& name() const { return name_; }

  /// The bytes that a regular file has now. Throws Error for a file of another kind.
  std::uint64_t size() const {
    struct stat status {};
    require(::fstat(fd_, &status) == 0, "cannot read '", name_, "': ", std::strerror(errno));
    require(S_ISREG(status.st_mode), "'", name_, "' is not a regular file");
    return static_cast<std::uint64_t>(status.st_size);
  }

  /// Overwrites [to, to + length) with the bytes from `offset` on. Throws Error when they are not there (any
  /// more).
  void read(std::uint64_t offset, void* to, std::size_t length) const {
    for (std::size_t done = 0; done < length;) {
      const auto got =
          ::pread(fd_, static_cast<char*>(to) + done, length - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      require(got >= 0, "cannot read '", name_, "': ", std::strerror(errno));
      if (got == 0)
        throw Error(concat(name_, ": ends at byte ", size(), ", expected ", offset + length,
                           ": was it changed meanwhile?"));
      done += static_cast<std::size_t>(got);
    }
  }
  std::string read(std::uint64_t offset, std::uint64_t length) const {
    std::string bytes(length, '\0');
    read(offset, bytes.data(), bytes.size());
    return bytes;
  }

 private:
  std::string name_;
  int fd_;
};

}  // namespace demix
