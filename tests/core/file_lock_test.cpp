#include "demix/core/file_lock.hpp"

#include <boost/test/unit_test.hpp>

#include "processes.hpp"
#include "temporary_folder.hpp"

namespace demix::test {
namespace fs = std::filesystem;

BOOST_AUTO_TEST_SUITE(file_lock)

BOOST_AUTO_TEST_CASE(one_holds_it_and_the_other_is_told) {
  const TemporaryFolder temporary;
  const auto path = temporary.path / ".lock";
  {
    const FileLock lock(path, "runs/here");
    BOOST_CHECK_EXCEPTION(FileLock(path, "runs/here"), Error, [](const Error& error) {
      return std::string(error.what()).find("another process is at work in 'runs/here'") == 0;
    });
    std::error_code code;
    BOOST_TEST(!FileLock::attempt(path, O_RDWR, code));
    BOOST_TEST((code == std::errc::operation_would_block));
  }
  BOOST_CHECK_NO_THROW(FileLock(path, "runs/here"));
}

BOOST_AUTO_TEST_CASE(a_killed_process_lets_go) {
  const TemporaryFolder temporary;
  const auto path = temporary.path / ".lock";
  const int status = status_of(start_child([&] {
    const FileLock lock(path, temporary.path);
    raise(SIGKILL);
    return 0;
  }));
  BOOST_TEST(status == -SIGKILL);
  BOOST_CHECK_NO_THROW(FileLock(path, temporary.path));
}

BOOST_AUTO_TEST_CASE(a_removed_file_locks_nothing) {
  const TemporaryFolder temporary;
  const auto path = temporary.path / ".lock";
  const FileLock lock(path, temporary.path);
  fs::remove(path);
  BOOST_CHECK_NO_THROW(FileLock(path, temporary.path));
}

BOOST_AUTO_TEST_CASE(places_without_a_lock) {
  const TemporaryFolder temporary;
  std::error_code code;
  BOOST_TEST(!FileLock::attempt(temporary.path / ".lock", O_RDWR, code));
  BOOST_TEST((code == std::errc::no_such_file_or_directory));
  BOOST_CHECK_THROW(FileLock(temporary.path / "absent" / ".lock", temporary.path), Error);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
