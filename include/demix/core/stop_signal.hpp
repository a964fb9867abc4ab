#pragma once
// Signals that ask a program to stop: an answer at once, and the end where the program allows it.

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <exception>
#include <string>

#include "demix/core/error.hpp"

namespace demix {

/// A signal ended the work; run_program makes the exit code 128 + signal of it.
class Stopped : public std::exception {
 public:
  explicit Stopped(int signal) : signal_(signal) {}
  int signal() const { return signal_; }
  const char* what() const noexcept override { return "stopped by a signal"; }

 private:
  int signal_;
};

/// While it lives, SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU are the program's to answer, but for
/// those that it was started to ignore (nohup ignores SIGHUP). At first they end it at once; after `defer`
/// the first one is recorded, until the program asks. Either way a line on stderr says so at once. For
/// programs, not for libraries: handlers belong to the whole process, so at most one lives at a time.
class StopSignal {
 public:
  /// `program` begins each line. After `defer`, signals within `grace` of the first count as the same one:
  /// timeout(1) sends two in a row. Throws Error when there is a StopSignal already.
  explicit StopSignal(const std::string& program,
                      std::chrono::milliseconds grace = std::chrono::milliseconds(500))
      : program_(program) {
    require(!state_.in_use.exchange(true), "there is a StopSignal already");
    state_.received = 0;
    state_.received_at = 0;
    state_.grace = grace.count();
    describe(state_.at_once, ": ended by ", "");
    state_.deferring = false;
    struct sigaction action {};
    action.sa_handler = handle;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (const auto& [signal, name] : signals) sigaddset(&action.sa_mask, signal);
    for (std::size_t i = 0; i < signals.size(); ++i) {
      sigaction(signals[i].number, nullptr, &previous_[i]);
      if (previous_[i].sa_handler != SIG_IGN) sigaction(signals[i].number, &action, nullptr);
    }
    // A pipe that lost its reader, as Ctrl-C takes `| tee log` away, must not end what is being saved.
    sigaction(SIGPIPE, nullptr, &previous_pipe_);
    if (previous_pipe_.sa_handler == SIG_DFL) ::signal(SIGPIPE, SIG_IGN);
  }
  ~StopSignal() {
    for (std::size_t i = 0; i < signals.size(); ++i) sigaction(signals[i].number, &previous_[i], nullptr);
    sigaction(SIGPIPE, &previous_pipe_, nullptr);
    state_.in_use = false;
  }
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// From now on the first signal is recorded, and the line on stderr is "PROGRAM: SIGNAL: stopping after
  /// WHAT". A second SIGINT or SIGTERM ends the program at once.
  void defer(const std::string& what) {
    require(!state_.deferring, "signals are deferred already");
    describe(state_.deferred, ": ",
             ": stopping after " + what + "; a further SIGINT (Ctrl-C) or SIGTERM ends at once");
    state_.deferring = true;
  }

  /// The opposite of `defer`. A signal that is recorded already is thrown as Stopped.
  void end_at_once() {
    state_.deferring = false;
    poll();
  }

  /// The signal that arrived, 0 while there was none.
  int received() const { return state_.received; }

  /// Throws Stopped when a signal arrived.
  void poll() const {
    if (const int signal = received()) throw Stopped(signal);
  }

 private:
  struct Signal {
    int number;
    const char* name;
  };
  static constexpr std::array<Signal, 6> signals{{{SIGINT, "SIGINT"},
                                                  {SIGTERM, "SIGTERM"},
                                                  {SIGHUP, "SIGHUP"},
                                                  {SIGUSR1, "SIGUSR1"},
                                                  {SIGUSR2, "SIGUSR2"},
                                                  {SIGXCPU, "SIGXCPU"}}};
  using Lines = std::array<std::string, signals.size()>;

  /// What the handler sees; the lines do not change while it may read them.
  struct State {
    std::atomic<bool> in_use, deferring;
    std::atomic<int> received;
    std::atomic<std::int64_t> received_at, grace;  // milliseconds
    Lines at_once, deferred;
  };
  static_assert(std::atomic<int>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free);
  static inline State state_;

  void describe(Lines& lines, const char* before, const std::string& after) const {
    const char* start = ::isatty(STDERR_FILENO) == 1 ? "\n" : "";  // below the live line
    for (std::size_t i = 0; i < signals.size(); ++i)
      lines[i] = start + program_ + before + signals[i].name + after + "\n";
  }

  static std::int64_t milliseconds() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
  }

  /// Calls only what is safe in a signal handler.
  static void handle(int signal) {
    const int saved_errno = errno;
    std::size_t i = 0;
    while (signals[i].number != signal) ++i;
    const auto say = [i](const Lines& lines) {
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, lines[i].data(), lines[i].size());
    };
    const std::int64_t now = milliseconds();
    std::int64_t first = 0;
    const bool deferring = state_.deferring;
    if (deferring && state_.received_at.compare_exchange_strong(first, now)) {
      state_.received = signal;
      say(state_.deferred);
    } else if (!deferring || ((signal == SIGINT || signal == SIGTERM) && now - first >= state_.grace)) {
      say(state_.at_once);
      ::_exit(128 + signal);
    }
    errno = saved_errno;
  }

  const std::string program_;
  std::array<struct sigaction, signals.size()> previous_;
  struct sigaction previous_pipe_;
};

}  // namespace demix
