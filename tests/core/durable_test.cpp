#include "demix/core/durable.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>

#include "temporary_folder.hpp"

namespace demix::test {
namespace fs = std::filesystem;

BOOST_AUTO_TEST_SUITE(durable_files)

BOOST_AUTO_TEST_CASE(only_lost_data_is_an_error_of_fsync) {
  for (const int error : {EIO, ENOSPC, EDQUOT}) BOOST_TEST(durable::loses_data(error));
  for (const int error : {EINVAL, ENOTSUP, EROFS, ENOSYS, EBADF}) BOOST_TEST(!durable::loses_data(error));
  // No directory below /proc can be synced, as on some network file systems.
  BOOST_CHECK_NO_THROW(durable::sync("/proc/self"));
  BOOST_CHECK_THROW(durable::sync("/proc/self/no such file"), Error);
}

BOOST_AUTO_TEST_CASE(a_new_name_replaces_nothing) {
  const TemporaryFolder temporary;
  const auto from = temporary.path / "from", to = temporary.path / "to";
  fs::create_directory(from);
  fs::create_directory(to);  // an empty one, which rename(2) would replace
  BOOST_CHECK_THROW(durable::rename_new(from, to), Error);
  fs::remove(to);
  fs::create_symlink("nowhere", to);
  BOOST_CHECK_THROW(durable::rename_new(from, to), Error);
  BOOST_TEST(fs::is_symlink(to));
  fs::remove(to);
  durable::rename_new(from, to);
  BOOST_TEST((fs::is_directory(to) && !fs::exists(from)));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
