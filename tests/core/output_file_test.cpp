#include "demix/core/output_file.hpp"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <thread>

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;

namespace {

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

mode_t mode_of(const fs::path& path) {
  struct stat found {};
  BOOST_REQUIRE(::stat(path.c_str(), &found) == 0);
  return found.st_mode & 07777;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(output_files)

BOOST_FIXTURE_TEST_CASE(a_file_appears_when_it_is_whole, TemporaryFolder) {
  const auto name = write_file(path / "x.json", "old");
  {
    OutputFile file(name);
    file.write("new ");
    file.flush();
    BOOST_TEST(read_file(name) == "old");
    BOOST_TEST(file.partial_path() == path / ".x.json.partial");
    BOOST_TEST(read_file(file.partial_path()) == "new ");
    file.write(std::string(1 << 20, 'x'));
    file.commit();
    BOOST_TEST(read_file(name) == "new " + std::string(1 << 20, 'x'));
  }
  BOOST_TEST(entries(path) == 1u);
  {
    OutputFile file(name);
    file.write("never committed");
  }
  BOOST_TEST(read_file(name).starts_with("new "));
  BOOST_TEST(entries(path) == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_place_that_cannot_be_written_is_known_at_once, TemporaryFolder) {
  check_mentions(error_of([&] { OutputFile(path / "none" / "x", "--json"); }),
                 {"--json: cannot create '" + (path / "none" / "x").string() + "'", "No such file"});
  check_mentions(error_of([&] { OutputFile file(path); }), {"Is a directory"});
  check_mentions(error_of([&] { OutputFile(path / "new" / ""); }), {"Is a directory"});
  check_mentions(error_of([&] { OutputFile{fs::path()}; }), {"No such file"});
  check_mentions(error_of([&] { OutputFile("/dev/fd/999"); }), {"/dev/fd/999", "Bad file descriptor"});
  BOOST_TEST(fs::is_empty(path));
}

BOOST_FIXTURE_TEST_CASE(one_at_a_time, TemporaryFolder) {
  {
    OutputFile first(path / "x", "--output");
    first.write("first");
    check_mentions(error_of([&] { OutputFile(path / "x", "--json"); }),
                   {"--json: '", "is being written already"});
    first.commit();
    OutputFile second(path / "x");
    second.commit();
  }
  BOOST_TEST(read_file(path / "x").empty());
  write_file(durable::partial(path / "x"), "what a killed process left");
  OutputFile third(path / "x");
  third.write("third");
  third.commit();
  BOOST_TEST(read_file(path / "x") == "third");
  BOOST_TEST(entries(path) == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_link_stays_and_permissions_too, TemporaryFolder) {
  const auto target = write_file(path / "deep" / "target", "old");
  fs::permissions(target, fs::perms(0640));
  fs::create_symlink("deep/target", path / "link");
  fs::create_symlink("deep/new", path / "dangling");
  for (const char* name : {"link", "dangling"}) {
    OutputFile file(path / name);
    file.write("text");
    file.commit();
    BOOST_TEST(fs::is_symlink(path / name));
    BOOST_TEST(read_file(path / name) == "text");
  }
  BOOST_TEST(read_file(target) == "text");
  BOOST_TEST(mode_of(target) == 0640u);
}

BOOST_FIXTURE_TEST_CASE(what_is_no_file_is_written_directly, TemporaryFolder) {
  const auto pipe = path / "pipe";
  BOOST_REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::string got;
  std::thread reader([&] { got = read_file(pipe); });
  {
    OutputFile file(pipe);
    BOOST_TEST(file.partial_path().empty());
    file.write("through ");
    file.write("the pipe");
    file.commit();
  }
  reader.join();
  BOOST_TEST(got == "through the pipe");
  BOOST_TEST(fs::is_fifo(pipe));
  BOOST_TEST(entries(path) == 1u);
}

// As `--json /dev/stdout` behind a table, with a file as the standard output.
BOOST_FIXTURE_TEST_CASE(a_descriptor_goes_on_where_it_stands, TemporaryFolder) {
  const auto name = path / "both";
  const int descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT, 0600);
  BOOST_REQUIRE(descriptor >= 0);
  BOOST_REQUIRE(::write(descriptor, "table\n", 6) == 6);
  const auto shown = "/proc/self/fd/" + std::to_string(descriptor);
  fs::create_symlink(shown, path / "link");
  OutputFile by_name(shown), by_link(path / "link");
  by_name.write("one\n");
  by_name.commit();
  by_link.write("two\n");
  by_link.commit();
  BOOST_REQUIRE(::write(descriptor, "end\n", 4) == 4);
  ::close(descriptor);
  BOOST_TEST(read_file(name) == "table\none\ntwo\nend\n");
}

BOOST_FIXTURE_TEST_CASE(a_full_disk_leaves_the_old_file_and_nothing_else, TemporaryFolder) {
  const auto name = write_file(path / "x", "old"), log = write_file(path / "log", "line\n");
  const auto filled = [&](const std::function<void()>& write) {
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      std::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{1000, 1000};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      int code = 1;
      try {
        write();
      } catch (const Error& error) {
        const std::string message = error.what();
        code = message.find(path.string()) != std::string::npos &&
                       message.find("File too large") != std::string::npos
                   ? 0
                   : 2;
      }
      ::_exit(code);
    }
    int status = 0;
    BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
    BOOST_TEST(status == 0);
  };
  filled([&] {
    OutputFile file(name);
    file.write(std::string(2000, 'x'));
    file.commit();
  });
  BOOST_TEST(read_file(name) == "old");
  filled([&] {
    append_to_file(log, "second\n");
    append_to_file(log, std::string(2000, 'x'));
  });
  BOOST_TEST(read_file(log) == "line\nsecond\n");
  BOOST_TEST(entries(path) == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_copy_has_all_bytes, TemporaryFolder) {
  std::string bytes(3 << 20, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7919 >> 5);
  for (const auto& content : {bytes, std::string(), std::string("a\0b", 3)}) {
    write_copy(write_file(path / "from", content), path / "to");
    BOOST_TEST((read_file(path / "to") == content));
  }
  check_mentions(error_of([&] { write_copy(path / "none", path / "new"); }), {"/none'", "No such file"});
  check_mentions(error_of([&] { write_copy(path, path / "new"); }), {"cannot read", "Is a directory"});
  BOOST_TEST(entries(path) == 2u);
}

BOOST_FIXTURE_TEST_CASE(what_is_appended_is_there_at_once, TemporaryFolder) {
  append_to_file(path / "log", "first\n");
  append_to_file(path / "log", "second\n");
  BOOST_TEST(read_file(path / "log") == "first\nsecond\n");
  check_mentions(error_of([&] { append_to_file(path / "none" / "log", ""); }), {"none/log", "No such file"});
}

BOOST_AUTO_TEST_SUITE_END()
