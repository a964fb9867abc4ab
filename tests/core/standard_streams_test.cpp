#include "demix/core/standard_streams.hpp"

#include <sys/wait.h>

#include <functional>

#include "data/support.hpp"
#include "demix/program/run_program.hpp"

using namespace demix;
using namespace demix::test;

namespace {

/// The exit code of `body` as a program in a process of its own.
int code_of(const std::function<void()>& before, const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    before();
    ::_exit(program::run_program("p", body));
  }
  int status = 0;
  BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

const std::function<int()> print = [] {
  std::printf("a table\n");
  return 0;
};
const std::function<int()> silent = [] { return 0; };

void redirect(int descriptor, const std::string& path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT, 0600);
  ::dup2(file, descriptor);
  ::close(file);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(standard_streams)

BOOST_FIXTURE_TEST_CASE(what_does_not_arrive_is_a_failure, TemporaryFolder) {
  const auto err = (path / "err").string();
  const auto full = [&] { redirect(1, "/dev/full"), redirect(2, err); };
  BOOST_TEST(code_of(full, print) == 1);
  BOOST_TEST(read_file(err) == "p: cannot write to the standard output: No space left on device\n");
  BOOST_TEST(code_of(full, silent) == 0);
  // More than a buffer, of which the last part alone is tried at the end.
  BOOST_TEST(code_of(full, [] {
               for (int i = 0; i < 100000; ++i) std::printf("a table\n");
               return 0;
             }) == 1);
  const auto unread = [&] {
    int ends[2];
    if (::pipe(ends) != 0) ::_exit(99);
    ::dup2(ends[1], 1);
    ::close(ends[0]);
    redirect(2, err);
  };
  fs::remove(err);
  BOOST_TEST(code_of(unread, print) == 1);
  BOOST_TEST(read_file(err) == "p: cannot write to the standard output: Broken pipe\n");
}

BOOST_FIXTURE_TEST_CASE(a_closed_descriptor_is_no_files, TemporaryFolder) {
  const auto err = (path / "err").string(), file = (path / "file").string();
  const auto close_one = [&](int descriptor) {
    return [=] {
      if (descriptor != 2) redirect(2, err);
      ::close(descriptor);
    };
  };
  const auto use_files = [&] {
    const int own = ::open(file.c_str(), O_RDWR | O_CREAT, 0600);
    std::fprintf(stderr, "progress\n");
    return own > 2 && fs::file_size(file) == 0 ? 0 : 9;
  };
  for (const int descriptor : {0, 1, 2}) {
    BOOST_TEST(code_of(close_one(descriptor), use_files) == 0, descriptor);
    BOOST_TEST(code_of(close_one(descriptor), print) == (descriptor == 1), descriptor);
  }
  BOOST_TEST(code_of([] { ::close(0), ::close(1), ::close(2); }, use_files) == 0);
  check_mentions(read_file(err), {"p: cannot write to the standard output: Bad file descriptor\n"});
  BOOST_TEST(code_of(close_one(0), [] {
               char byte;
               return ::read(0, &byte, 1) < 0 && errno == EBADF ? 0 : 9;
             }) == 0);
}

BOOST_AUTO_TEST_SUITE_END()
