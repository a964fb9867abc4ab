#pragma once
// The files that programs write: those that appear under their name only when they are whole, and those that
// grow.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "demix/core/durable.hpp"
#include "demix/core/error.hpp"
#include "demix/core/file_lock.hpp"

namespace demix {

namespace output_file_detail {

/// Writes all bytes. Returns 0, or the errno of the write that failed.
inline int write_all(int descriptor, const char* data, std::size_t length) {
  while (length > 0) {
    const auto written = ::write(descriptor, data, length);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    data += written;
    length -= static_cast<std::size_t>(written);
  }
  return 0;
}

/// The open descriptor that a name such as /dev/stdout or /dev/fd/3 stands for, or -1. Opened by its name, a
/// regular file would be written from its beginning once more.
inline int named_descriptor(const std::string& name) {
  if (name == "/dev/stdout") return STDOUT_FILENO;
  if (name == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!name.starts_with(folder)) continue;
    const auto number = name.substr(folder.size());
    if (number.empty() || number.size() > 8) return -1;
    for (const char c : number)
      if (!std::isdigit(static_cast<unsigned char>(c))) return -1;
    return std::stoi(number);
  }
  return -1;
}

/// The file that a name stands for after its last symbolic link, so that a rename replaces the file and not
/// the link.
inline std::filesystem::path follow_links(std::filesystem::path path) {
  std::error_code code;
  constexpr int most = 40;  // as the system
  for (int i = 0; i < most && named_descriptor(path.string()) < 0 && std::filesystem::is_symlink(path, code);
       ++i)
    path = path.parent_path() / std::filesystem::read_symlink(path, code);
  return path;
}

}  // namespace output_file_detail

/// A file that is written from its beginning, buffered. It gets its name in commit(), whole and on the disk;
/// until then it is the hidden ".NAME.partial" beside it, which is removed when it is not committed. A file
/// that it replaces lends it its permissions, and one process at a time can write it. What is no regular file
/// (a pipe, /dev/stdout, /dev/null) is written directly.
class OutputFile {
 public:
  /// Creates it, so that a place that cannot be written is known before the work. `option`, such as "--json",
  /// begins the messages. Throws Error.
  explicit OutputFile(std::filesystem::path path, std::string option = "")
      : path_(std::move(path)), option_(std::move(option)) {
    using namespace output_file_detail;
    target_ = follow_links(path_);
    const int open_already = named_descriptor(target_.string());
    struct stat found {};
    const bool exists = ::stat(target_.c_str(), &found) == 0;
    if (open_already >= 0) {
      descriptor_ = ::fcntl(open_already, F_DUPFD_CLOEXEC, 0);
    } else if (exists && !S_ISREG(found.st_mode)) {
      descriptor_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
    } else if (!target_.has_filename()) {
      fail("create", target_.empty() ? ENOENT : EISDIR);
    } else if (exists && ::access(target_.c_str(), W_OK) != 0) {
      fail("write", errno);
    } else {
      create_partial(exists, found.st_mode & 07777);
    }
    if (descriptor_ < 0) fail(exists ? "write" : "create", errno);
    buffer_.reserve(buffer_size);
  }
  ~OutputFile() {
    if (descriptor_ < 0) return;
    if (lock_)
      ::unlink(partial_.c_str());
    else
      ::close(descriptor_);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  /// Where the bytes are before commit(); empty for what is written directly.
  const std::filesystem::path& partial_path() const { return partial_; }

  /// Appends bytes. Throws Error, for instance when the disk is full.
  void write(const void* data, std::size_t length) {
    if (buffer_.size() + length > buffer_size) flush();
    if (length >= buffer_size)
      write_through(static_cast<const char*>(data), length);
    else
      buffer_.append(static_cast<const char*>(data), length);
  }
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Hands what is buffered to the system, so that others who open partial_path() see it. Throws Error.
  void flush() {
    write_through(buffer_.data(), buffer_.size());
    buffer_.clear();
  }

  /// Replaces bytes of a regular file that were written earlier. Throws Error.
  void overwrite(std::size_t offset, const void* data, std::size_t length) {
    flush();
    const auto written = ::pwrite(descriptor_, data, length, static_cast<off_t>(offset));
    if (written != static_cast<ssize_t>(length)) fail("write", written < 0 ? errno : ENOSPC);
  }

  /// Reads back bytes of a regular file that were written earlier. Throws Error.
  void read_back(std::size_t offset, void* data, std::size_t length) {
    flush();
    auto* bytes = static_cast<char*>(data);
    while (length > 0) {
      const auto got = ::pread(descriptor_, bytes, length, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail("read back", got < 0 ? errno : EIO);
      bytes += got;
      offset += static_cast<std::size_t>(got);
      length -= static_cast<std::size_t>(got);
    }
  }

  /// Writes what is left and gives the file its name, for good. Throws Error.
  void commit() {
    flush();
    if (lock_) {
      durable::sync(descriptor_, path_);
      if (::rename(partial_.c_str(), target_.c_str()) != 0) fail("write", errno);
      descriptor_ = -1;
      lock_.reset();
      durable::sync(durable::parent(target_));
    } else if (::close(std::exchange(descriptor_, -1)) != 0) {
      // Some network file systems report only here that there was no room.
      fail("write", errno);
    }
  }

 private:
  static constexpr std::size_t buffer_size = std::size_t{1} << 18;

  void create_partial(bool replaces, mode_t mode) {
    partial_ = durable::partial(target_);
    std::error_code code;
    lock_ = FileLock::attempt(partial_, O_RDWR | O_CREAT, code);
    require(
        code != std::errc::operation_would_block, [this] { return start_of_message(); }, "'", path_,
        "' is being written already; wait for that, or choose another name");
    if (!lock_) fail(replaces ? "write" : "create", code.value());
    descriptor_ = lock_->descriptor();
    if (::ftruncate(descriptor_, 0) != 0 || (replaces && ::fchmod(descriptor_, mode) != 0))
      fail("write", errno);
  }

  void write_through(const char* data, std::size_t length) {
    // Another buffer of this program's may lead to the same place.
    if (partial_.empty()) std::fflush(stdout);
    if (const int error = output_file_detail::write_all(descriptor_, data, length)) fail("write", error);
  }

  std::string start_of_message() const { return option_.empty() ? "" : option_ + ": "; }

  [[noreturn]] void fail(const char* action, int error) const {
    const bool standard = option_.empty() && path_ == "/dev/stdout";
    throw Error(concat(start_of_message(), "cannot ", action, " ",
                       standard ? "to the standard output" : concat("'", path_.string(), "'"), ": ",
                       std::strerror(error)));
  }

  std::filesystem::path path_, target_, partial_;
  std::string option_, buffer_;
  std::optional<FileLock> lock_;  // of the partial file, whose descriptor this is
  int descriptor_ = -1;
};

/// Writes a copy of a file, whole or not at all, and on the disk. Throws Error with the reason, which
/// std::filesystem::copy_file gives as "Input/output error" for a full disk.
inline void write_copy(const std::filesystem::path& from, const std::filesystem::path& to) {
  const auto readable = [&](bool yes) { require(yes, "cannot read '", from, "': ", std::strerror(errno)); };
  if (from == to) return;
  std::ifstream in(from, std::ios::binary);
  readable(in.good());
  OutputFile copy(to);
  std::string piece(std::size_t{1} << 20, '\0');
  do {
    in.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    copy.write(piece.data(), static_cast<std::size_t>(in.gcount()));
  } while (in.good());
  readable(in.eof());
  copy.commit();
}

/// Appends to a file, created where missing: all of the text or, where that is an error, nothing of it. The
/// system has it when this returns. Throws Error, for instance when the disk is full.
inline void append_to_file(const std::filesystem::path& path, std::string_view text) {
  int error = 0;
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0) {
    error = errno;
  } else {
    struct stat before {};
    const bool known = ::fstat(descriptor, &before) == 0 && S_ISREG(before.st_mode);
    error = output_file_detail::write_all(descriptor, text.data(), text.size());
    if (error != 0 && known && ::ftruncate(descriptor, before.st_size) != 0) error = errno;
    if (::close(descriptor) != 0 && error == 0) error = errno;
  }
  require(error == 0, "cannot write '", path, "': ", std::strerror(error));
}

}  // namespace demix
