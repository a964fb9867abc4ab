#include "demix/checkpoint/place.hpp"

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"

namespace demix::test {

BOOST_AUTO_TEST_SUITE(places)

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
