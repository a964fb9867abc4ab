#pragma once
// The bytes of a file, a pipe or a device in order, decompressed where they are gzip's.

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"

namespace demix::prepare {

/// Whether a file's name ends so, in small letters or capitals. `suffix` is in small letters.
inline bool has_suffix(std::string_view name, std::string_view suffix) {
  const auto small = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return name.size() > suffix.size() &&
         std::equal(suffix.begin(), suffix.end(), name.end() - static_cast<std::ptrdiff_t>(suffix.size()),
                    [&](char expected, char c) { return small(c) == expected; });
}

/// Whether a name in a folder of input is no input: hidden ones, and what a file system keeps for itself.
inline bool is_passed_over(const std::string& name) { return name.starts_with(".") || name == "lost+found"; }

/// Reads once, from the beginning to the end. What begins as gzip does is decompressed, all members of it; a
/// name that ends in .gz promises gzip. Other compressed files are refused.
class InputStream {
 public:
  /// `poll` is called while the stream waits, and may throw. Throws Error when `path` cannot be opened.
  InputStream(std::filesystem::path path, std::function<void()> poll)
      : path_(std::move(path)),
        poll_(std::move(poll)),
        fd_(::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)),
        buffer_(std::size_t{1} << 16) {
    require(fd_ >= 0, "cannot open '", path_, "': ", std::strerror(errno));
  }
  ~InputStream() {
    if (gzip_) ::inflateEnd(&zlib_);
    ::close(fd_);
  }
  InputStream(const InputStream&) = delete;
  InputStream& operator=(const InputStream&) = delete;

  /// Whether it is being decompressed. Throws Error for another compression, or none under a name in .gz.
  bool is_gzip() {
    start();
    return gzip_;
  }

  /// Overwrites up to `length` bytes and returns how many, 0 at the end. Throws Error for data that cannot be
  /// read, or is damaged or cut short.
  std::size_t read(char* to, std::size_t length) {
    start();
    if (gzip_) return inflate(to, std::min<std::size_t>(length, std::size_t{1} << 30));
    if (begin_ == end_ && !fill()) return 0;
    const std::size_t count = std::min(length, end_ - begin_);
    std::memcpy(to, buffer_.data() + begin_, count);
    begin_ += count;
    return count;
  }

  /// All that is left. Throws Error like read().
  std::string read_all() {
    std::string bytes;
    for (std::size_t size = 0;;) {
      bytes.resize(std::max(2 * size, buffer_.size()));
      const std::size_t count = read(bytes.data() + size, bytes.size() - size);
      size += count;
      if (count > 0) continue;
      bytes.resize(size);
      return bytes;
    }
  }

 private:
  void start() {
    if (std::exchange(started_, true)) return;
    while (end_ < longest_magic && fill()) {
    }
    const std::string_view bytes(reinterpret_cast<const char*>(buffer_.data()), end_);
    const bool is_gzip = bytes.starts_with("\x1f\x8b");
    require(is_gzip || !has_suffix(path_.filename().string(), ".gz"), path_,
            ": its name says gzip, but its bytes are something else");
    for (const auto& [magic, name, program] : others)
      require(!bytes.starts_with(magic), path_, ": compressed by ", name,
              ", expected plain text or gzip; decompress it, or give '<(", program, " ", path_, ")' instead");
    if (!is_gzip) return;
    require(::inflateInit2(&zlib_, 15 + 16) == Z_OK, "cannot start zlib");  // the longest window, gzip alone
    gzip_ = true;
  }

  /// Reads more behind what is not used yet. False at the end. Throws Error.
  bool fill() {
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_),
              buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
    end_ -= std::exchange(begin_, 0);
    for (;;) {
      poll_();
      pollfd waiting{fd_, POLLIN, 0};
      if (::poll(&waiting, 1, 100) == 0) continue;
      const auto got = ::read(fd_, buffer_.data() + end_, buffer_.size() - end_);
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      require(got >= 0, "cannot read '", path_, "': ", std::strerror(errno));
      end_ += static_cast<std::size_t>(got);
      return got > 0;
    }
  }

  std::size_t inflate(char* to, std::size_t length) {
    zlib_.next_out = reinterpret_cast<Bytef*>(to);
    zlib_.avail_out = static_cast<uInt>(length);
    while (zlib_.avail_out == length) {
      if (begin_ == end_ && !fill()) {
        require(between_members_, path_, ": the gzip data end too early; the file is cut short");
        return 0;
      }
      if (between_members_) {
        while (begin_ < end_ && buffer_[begin_] == 0) ++begin_;  // padding
        if (begin_ == end_) continue;
        ::inflateReset(&zlib_);
        between_members_ = false;
      }
      zlib_.next_in = buffer_.data() + begin_;
      zlib_.avail_in = static_cast<uInt>(end_ - begin_);
      const int code = ::inflate(&zlib_, Z_NO_FLUSH);
      begin_ = end_ - zlib_.avail_in;
      between_members_ = code == Z_STREAM_END;
      require(code == Z_OK || code == Z_BUF_ERROR || code == Z_STREAM_END, path_, ": damaged gzip data (",
              zlib_.msg ? zlib_.msg : "unknown to zlib", ")");
    }
    return length - zlib_.avail_out;
  }

  struct Magic {
    std::string_view bytes, name, program;
  };
  static constexpr std::size_t longest_magic = 6;
  static constexpr std::array<Magic, 4> others{{{{"\xfd\x37zXZ\0", 6}, "xz", "xzcat"},
                                                {"\x28\xb5\x2f\xfd", "zstd", "zstdcat"},
                                                {"BZh", "bzip2", "bzcat"},
                                                {"PK\3\4", "zip", "unzip -p"}}};

  std::filesystem::path path_;
  std::function<void()> poll_;
  int fd_;
  std::vector<unsigned char> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what is not used yet
  bool started_ = false, gzip_ = false, between_members_ = true;
  z_stream zlib_{};
};

}  // namespace demix::prepare
