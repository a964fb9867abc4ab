#pragma once
// A file mapped for reading whose resident memory stays bounded, however large the file.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include "demix/core/error.hpp"

namespace demix::data {

/// A read-only view of a file. Pages that were read are given back every few megabytes; they come again from
/// the page cache when needed. Threads may read at the same time.
class MappedFile {
 public:
  /// Throws Error when the file cannot be opened or mapped.
  explicit MappedFile(const std::filesystem::path& path) : mapping_(std::make_unique<Mapping>(path)) {}

  const std::filesystem::path& path() const { return mapping_->path; }
  std::size_t size() const { return mapping_->size; }

  /// The address of bytes [offset, offset + length), which the caller is about to read and has to copy at
  /// once: a later call may drop the pages. Throws Error when they are not all inside the file.
  const std::byte* read(std::size_t offset, std::size_t length) const {
    Mapping& m = *mapping_;
    require(offset <= m.size && length <= m.size - offset, m.path.string(), ": bytes [", offset, ", ",
            offset + length, ") are outside the file of ", m.size, " bytes");
    const std::size_t touched = length + fault_around;
    if (m.touched.fetch_add(touched, std::memory_order_relaxed) + touched > most_resident) {
      m.touched.store(0, std::memory_order_relaxed);
      ::madvise(m.address, m.size, MADV_DONTNEED);
    }
    return static_cast<const std::byte*>(m.address) + offset;
  }

 private:
  static constexpr std::size_t most_resident = std::size_t{8} << 20;
  static constexpr std::size_t fault_around =
      std::size_t{2} << 20;  // the most that one fault maps: a huge page of the cache

  struct Mapping {
    explicit Mapping(const std::filesystem::path& path_) : path(path_) {
      const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
      require(fd >= 0, "cannot open '", path.string(), "': ", std::strerror(errno));
      struct stat status {};
      const bool is_file = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
      size = is_file ? static_cast<std::size_t>(status.st_size) : 0;
      if (size > 0) address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
      const int error = errno;
      ::close(fd);
      require(is_file, "'", path.string(), "' is not a regular file");
      require(address != MAP_FAILED, "cannot map '", path.string(), "': ", std::strerror(error));
      if (size > 0) ::madvise(address, size, MADV_RANDOM);
    }
    ~Mapping() {
      if (size > 0 && address != MAP_FAILED) ::munmap(address, size);
    }
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;

    std::filesystem::path path;
    void* address = nullptr;
    std::size_t size = 0;
    std::atomic<std::size_t> touched{0};  // bytes that may be resident
  };

  std::unique_ptr<Mapping> mapping_;
};

}  // namespace demix::data
