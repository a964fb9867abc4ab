#include "demix/checkpoint/place.hpp"

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"

namespace demix::test {

BOOST_AUTO_TEST_SUITE(places)

BOOST_AUTO_TEST_CASE(lies_in_follows_links_and_needs_nothing_to_exist) {
  const TemporaryFolder temporary;
  const auto a = temporary.path / "a", link = temporary.path / "link";
  fs::create_directory(a);
  fs::create_symlink("a", link);
  for (const auto& inside :
       {a, link, a / "x" / "y", link / "x", temporary.path / "b" / ".." / "a" / "x", a / "."}) {
    BOOST_TEST(checkpoint::lies_in(inside, a), inside);
    BOOST_TEST(checkpoint::lies_in(inside, link), inside);
  }
  for (const auto& outside :
       {temporary.path, temporary.path / "ab", temporary.path / "b", a / "..", fs::path("/")})
    BOOST_TEST(!checkpoint::lies_in(outside, a), outside);
  const auto before = fs::current_path();
  fs::current_path(a);
  BOOST_TEST(checkpoint::lies_in("new/folder", a));
  BOOST_TEST(!checkpoint::lies_in("../new", a));
  fs::current_path(before);
}

BOOST_AUTO_TEST_CASE(what_is_a_checkpoint) {
  const TemporaryFolder temporary;
  device::Cpu device;
  Dense model(device, small_config(), {"a"}, Seed{1});
  save_without_state(temporary.path / "model", "dense", model);
  BOOST_TEST(checkpoint::is_checkpoint(temporary.path / "model"));
  BOOST_TEST(!checkpoint::is_checkpoint(temporary.path));
  BOOST_TEST(!checkpoint::is_checkpoint(temporary.path / "none"));
  write_bytes(temporary.path / "model.h5", "somebody else's");
  BOOST_TEST(!checkpoint::is_checkpoint(temporary.path));
  fs::remove(temporary.path / "model.h5");
  H5Fclose(H5Fcreate((temporary.path / "model.h5").c_str(), H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT));
  BOOST_TEST(!checkpoint::is_checkpoint(temporary.path));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
