#pragma once
// Files that appear under their name only when they are whole.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demix/core/durable.hpp"
#include "demix/core/error.hpp"

namespace demix::data {

/// Writes PATH.partial from its beginning, buffered; commit() makes it PATH. What is not committed is
/// removed.
class OutputFile {
 public:
  /// Creates PATH.partial, or empties what an earlier run left of it. Throws Error.
  explicit OutputFile(std::filesystem::path path)
      : path_(std::move(path)), partial_(path_.string() + ".partial") {
    fd_ = ::open(partial_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd_ < 0) fail("create", errno);
    buffer_.reserve(buffer_size);
  }
  ~OutputFile() {
    if (fd_ < 0) return;
    ::close(fd_);
    ::unlink(partial_.c_str());
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  const std::filesystem::path& partial_path() const { return partial_; }

  /// Appends bytes. Throws Error, for instance when the disk is full.
  void write(const void* data, std::size_t length) {
    if (buffer_.size() + length > buffer_size) flush();
    if (length >= buffer_size) {
      write_through(static_cast<const char*>(data), length);
    } else {
      const auto* bytes = static_cast<const char*>(data);
      buffer_.insert(buffer_.end(), bytes, bytes + length);
    }
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Hands what is buffered to the system, so that others who open partial_path() see it. Throws Error.
  void flush() {
    write_through(buffer_.data(), buffer_.size());
    buffer_.clear();
  }

  /// Replaces bytes that were written earlier. Throws Error.
  void overwrite(std::size_t offset, const void* data, std::size_t length) {
    flush();
    const auto written = ::pwrite(fd_, data, length, static_cast<off_t>(offset));
    if (written != static_cast<ssize_t>(length)) fail("write", written < 0 ? errno : ENOSPC);
  }

  /// Reads back bytes that were written earlier. Throws Error.
  void read_back(std::size_t offset, void* data, std::size_t length) {
    flush();
    auto* bytes = static_cast<char*>(data);
    while (length > 0) {
      const auto got = ::pread(fd_, bytes, length, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail("read back", got < 0 ? errno : EIO);
      bytes += got;
      offset += static_cast<std::size_t>(got);
      length -= static_cast<std::size_t>(got);
    }
  }

  /// Forces the bytes to the disk and gives the file its name. Throws Error.
  void commit() {
    flush();
    durable::sync(fd_, partial_);
    if (::rename(partial_.c_str(), path_.c_str()) != 0) fail("rename", errno);
    ::close(std::exchange(fd_, -1));
    durable::sync(durable::parent(path_));
  }

 private:
  static constexpr std::size_t buffer_size = std::size_t{1} << 18;

  void write_through(const char* data, std::size_t length) {
    while (length > 0) {
      const auto written = ::write(fd_, data, length);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("write", errno);
      data += written;
      length -= static_cast<std::size_t>(written);
    }
  }

  [[noreturn]] void fail(const char* action, int error) const {
    throw Error(concat("cannot ", action, " '", path_.string(), "': ", std::strerror(error)));
  }

  std::filesystem::path path_, partial_;
  int fd_ = -1;
  std::vector<char> buffer_;
};

}  // namespace demix::data
