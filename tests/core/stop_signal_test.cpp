#include "demix/core/stop_signal.hpp"

#include <sys/wait.h>

#include <boost/test/unit_test.hpp>

using namespace demix;
using namespace std::chrono_literals;

namespace {

struct End {
  int status;        // as wait gives it
  std::string text;  // what it printed
};

/// Runs body() in a process of its own; it exits with what body returns.
template <class Body>
End in_child(Body body) {
  int ends[2];
  BOOST_REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    _exit(body());
  }
  close(ends[1]);
  End end{};
  char buffer[256];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    end.text.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  BOOST_REQUIRE(waitpid(child, &end.status, 0) == child);
  return end;
}

int exit_code(const End& end) { return WIFEXITED(end.status) ? WEXITSTATUS(end.status) : -1; }

void (*disposition(int signal))(int) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(stop_signal)

BOOST_AUTO_TEST_CASE(at_first_every_signal_ends_the_program_at_once_and_says_so) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    const auto end = in_child([number] {
      const StopSignal stop("program");
      raise(number);
      return 0;
    });
    BOOST_TEST(exit_code(end) == 128 + number);
    BOOST_TEST(end.text.starts_with("program: ended by SIG"));
    BOOST_TEST(end.text.ends_with("\n"));
  }
}

BOOST_AUTO_TEST_CASE(a_deferred_signal_is_recorded_said_and_thrown_by_poll) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    const auto end = in_child([number] {
      StopSignal stop("program", 1h);
      stop.defer("this batch");
      if (stop.received() != 0) return 1;
      stop.poll();
      raise(number);
      raise(SIGUSR1);
      raise(SIGTERM);  // the same one, as it comes within the hour
      if (stop.received() != number) return 2;
      try {
        stop.poll();
      } catch (const Stopped& stopped) {
        return stopped.signal() == number ? 0 : 3;
      }
      return 4;
    });
    BOOST_TEST(exit_code(end) == 0);
    BOOST_TEST(end.text.starts_with("program: SIG"));
    BOOST_TEST(end.text.find(": stopping after this batch;") != std::string::npos);
    BOOST_TEST(end.text.find('\n') == end.text.size() - 1);
  }
}

BOOST_AUTO_TEST_CASE(a_second_interruption_ends_at_once_and_other_signals_do_not) {
  for (const int second : {SIGINT, SIGTERM}) {
    const auto end = in_child([second] {
      StopSignal stop("program", 0ms);
      stop.defer("this batch");
      raise(SIGINT);
      raise(SIGHUP);
      raise(SIGUSR1);
      raise(second);
      return 0;
    });
    BOOST_TEST(exit_code(end) == 128 + second);
  }
}

BOOST_AUTO_TEST_CASE(work_that_no_longer_defers_ends_by_a_recorded_signal) {
  const auto end = in_child([] {
    StopSignal stop("program");
    stop.defer("this batch");
    stop.end_at_once();
    stop.defer("another batch");
    raise(SIGTERM);
    try {
      stop.end_at_once();
    } catch (const Stopped& stopped) {
      return stopped.signal();
    }
    return 0;
  });
  BOOST_TEST(exit_code(end) == SIGTERM);
}

BOOST_AUTO_TEST_CASE(a_signal_that_was_ignored_stays_so) {
  const auto end = in_child([] {
    signal(SIGHUP, SIG_IGN);
    StopSignal stop("program");
    raise(SIGHUP);
    stop.defer("this batch");
    raise(SIGHUP);
    return stop.received();
  });
  BOOST_TEST(exit_code(end) == 0);
  BOOST_TEST(end.text == "");
}

BOOST_AUTO_TEST_CASE(the_answer_to_a_signal_survives_a_lost_reader) {
  const auto end = in_child([] {
    int ends[2];
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0) return 1;
    close(ends[0]);
    close(ends[1]);
    signal(SIGPIPE, SIG_DFL);
    StopSignal stop("program");
    stop.defer("this batch");
    raise(SIGINT);
    return stop.received() == SIGINT ? 0 : 2;
  });
  BOOST_TEST(exit_code(end) == 0);
}

BOOST_AUTO_TEST_CASE(there_is_one_at_a_time_and_it_leaves_no_trace) {
  const auto before = disposition(SIGUSR1), before_pipe = disposition(SIGPIPE);
  for (int again = 0; again < 2; ++again) {
    const StopSignal stop("program");
    BOOST_TEST((disposition(SIGUSR1) != before));
    BOOST_CHECK_THROW(StopSignal("other"), Error);
  }
  BOOST_TEST((disposition(SIGUSR1) == before));
  BOOST_TEST((disposition(SIGPIPE) == before_pipe));
}

BOOST_AUTO_TEST_SUITE_END()
