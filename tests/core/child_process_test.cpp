#include "demix/core/child_process.hpp"

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;

namespace {

ChildResult run_shell(const std::string& script, const std::string& input = "") {
  return run_child({"sh", "-c", script}, input);
}

std::ptrdiff_t open_descriptors() {
  return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
}

/// Every byte, more of them than a pipe holds.
std::string long_bytes() {
  std::string bytes;
  for (int i = 0; i < 1 << 20; ++i) bytes += static_cast<char>(i * 7 % 251 + i / 256);
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(child_processes)

BOOST_AUTO_TEST_CASE(output_errors_and_exit_code_are_each_their_own) {
  const auto done = run_shell("echo out; echo err >&2; printf more; exit 3");
  BOOST_TEST(done.start_error == 0);
  BOOST_TEST(WIFEXITED(done.status));
  BOOST_TEST(WEXITSTATUS(done.status) == 3);
  BOOST_TEST(done.output == "out\nmore");
  BOOST_TEST(done.errors == "err\n");
  const auto silent = run_child({"true"}, "");
  BOOST_TEST(silent.status == 0);
  BOOST_TEST(silent.output == "");
  BOOST_TEST(silent.errors == "");
}

BOOST_AUTO_TEST_CASE(the_input_arrives_whole_and_ends) {
  BOOST_TEST(run_child({"cat"}, "two\nlines").output == "two\nlines");
  BOOST_TEST(run_child({"cat"}, "").output == "");
  const auto bytes = long_bytes();
  BOOST_TEST((run_child({"cat"}, bytes).output == bytes));
  // It need not be read, and both outputs may be long.
  BOOST_TEST(run_shell("exit 0", bytes).status == 0);
  const auto done = run_shell("cat >&2; echo end", bytes);
  BOOST_TEST((done.errors == bytes));
  BOOST_TEST(done.output == "end\n");
}

BOOST_AUTO_TEST_CASE(arguments_are_passed_as_they_are) {
  const auto done = run_child({"printf", "[%s]", "a b", "", "'$HOME' *", "\\\n"}, "");
  BOOST_TEST(done.output == "[a b][]['$HOME' *][\\\n]");
}

BOOST_AUTO_TEST_CASE(a_program_that_does_not_exist) {
  for (const char* program : {"demix-no-such-program", "/no/such/program"}) {
    const auto done = run_child({program, "--version"}, "input");
    BOOST_TEST(done.start_error == ENOENT);
    BOOST_TEST(done.output == "");
    BOOST_TEST(done.errors == "");
  }
  const TemporaryFolder folder;
  BOOST_TEST(run_child({write_file(folder.path / "text", "no program").string()}, "").start_error == EACCES);
}

BOOST_AUTO_TEST_CASE(a_signal_that_ends_it_is_told) {
  const auto done = run_shell("echo before; kill -TERM $$; echo after");
  BOOST_TEST(WIFSIGNALED(done.status));
  BOOST_TEST(WTERMSIG(done.status) == SIGTERM);
  BOOST_TEST(done.output == "before\n");
}

BOOST_AUTO_TEST_CASE(signals_that_this_program_ignores_are_not_ignored_there) {
  for (const int number : {SIGPIPE, SIGXFSZ}) {
    const auto before = std::signal(number, SIG_IGN);
    const auto done = run_shell(concat("kill -", number, " $$; echo still here"));
    std::signal(number, before);
    BOOST_TEST(WIFSIGNALED(done.status));
    BOOST_TEST(WTERMSIG(done.status) == number);
    BOOST_TEST(done.output == "");
  }
}

BOOST_AUTO_TEST_CASE(no_file_stays_open) {
  const auto before = open_descriptors();
  run_child({"cat"}, "text");
  run_child({"demix-no-such-program"}, "text");
  BOOST_TEST(open_descriptors() == before);
  // Of the files in memory the program has three: standard input, output and errors.
  BOOST_TEST(run_shell("ls -l /proc/$$/fd | grep -c memfd:").output == "3\n");
}

BOOST_AUTO_TEST_SUITE_END()
