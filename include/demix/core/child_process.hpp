#pragma once
// Another program, run to its end with an input that is known before.

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "demix/core/error.hpp"

namespace demix {

struct ChildResult {
  int start_error = 0;  // the errno of a program that could not be started
  int status = 0;       // as of waitpid
  std::string output, errors;
};

namespace child_process_detail {

/// A file in memory. Unlike pipes, three of them cannot wait for each other, and none can break.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& content = "") : descriptor_(::memfd_create("demix", MFD_CLOEXEC)) {
    require(descriptor_ >= 0, "cannot make a file in memory: ", std::strerror(errno));
    for (std::size_t done = 0; done < content.size();) {
      const auto written = ::write(descriptor_, content.data() + done, content.size() - done);
      if (written < 0) {
        const int error = errno;
        ::close(descriptor_);
        throw Error(concat("cannot fill a file in memory: ", std::strerror(error)));
      }
      done += static_cast<std::size_t>(written);
    }
    ::lseek(descriptor_, 0, SEEK_SET);
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  int descriptor() const { return descriptor_; }

  std::string content() const {
    std::string text(static_cast<std::size_t>(::lseek(descriptor_, 0, SEEK_END)), '\0');
    const auto got = ::pread(descriptor_, text.data(), text.size(), 0);
    require(got == static_cast<ssize_t>(text.size()), "cannot read a file in memory: ", std::strerror(errno));
    return text;
  }

 private:
  int descriptor_;
};

}  // namespace child_process_detail

/// Runs the program `arguments[0]`, found in PATH, and waits for its end. Throws Error where the system
/// refuses memory or files.
inline ChildResult run_child(const std::vector<std::string>& arguments, const std::string& input) {
  const child_process_detail::MemoryFile in(input), out, err;
  std::vector<char*> argv;
  for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  // Ignored signals are inherited; this program's choice is not the other's.
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  sigaddset(&defaults, SIGXFSZ);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in.descriptor(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out.descriptor(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, err.descriptor(), STDERR_FILENO);
  ChildResult result;
  pid_t child = 0;
  result.start_error = ::posix_spawnp(&child, argv[0], &files, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (result.start_error != 0) return result;
  while (::waitpid(child, &result.status, 0) < 0)
    require(errno == EINTR, "cannot wait for ", arguments[0], ": ", std::strerror(errno));
  result.output = out.content();
  result.errors = err.content();
  return result;
}

}  // namespace demix
