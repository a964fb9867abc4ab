#pragma once
// Child processes of a test.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "demix/core/error.hpp"

namespace demix::test {

/// Starts a process that runs f (which must not use OpenMP: its threads are the parent's) and ends with what
/// it returns, or 99 after an exception.
template <class F>
pid_t start_child(F f) {
  const pid_t child = fork();
  require(child >= 0, "fork failed");
  if (child != 0) return child;
  int status = 99;
  try {
    status = f();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "child: %s\n", error.what());
  }
  _exit(status);
}

/// Waits for a child and returns its exit status, or the negative number of the signal that killed it.
inline int status_of(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace demix::test
