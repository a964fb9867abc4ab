#pragma once
// Standard input, output and error as a program finds them, and whether what it prints arrives.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "demix/core/error.hpp"

namespace demix {

/// Makes failed writes errors with a reason, instead of signals that end the program without a word: a file
/// that grows too large (ulimit -f) and a pipe that nobody reads. A standard descriptor that is closed
/// (2>&-) is taken, so that no file of the program's gets its number and then progress lines; reading or
/// writing it fails as if it were still closed. For programs, not for libraries. Throws Error.
inline void prepare_standard_streams() {
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF)
      // The lowest free number, which is this one. Open the wrong way round, every use fails with EBADF.
      require(::open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY) == descriptor,
              "descriptor ", descriptor, " is closed and '/dev/null' cannot take its place");
}

/// Hands what was printed to the system. Throws Error when that, or an earlier write, failed.
inline void flush_standard_output() {
  errno = 0;
  const bool ok = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  require(ok, "cannot write to the standard output: ",
          errno != 0 ? std::strerror(errno) : "an earlier write failed");
}

/// The same at the end of a program. Throws Error also for what a network file system reports only when a
/// file is closed.
inline void finish_standard_output() {
  flush_standard_output();
  const int copy = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
  require(copy < 0 || ::close(copy) == 0, "cannot write to the standard output: ", std::strerror(errno));
}

}  // namespace demix
