#include "device/conformance.hpp"

#include "demix/device/cpu.hpp"
#include "device/archetype.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(device_concept)

BOOST_AUTO_TEST_CASE(cpu) {
  device::Cpu device;
  device_conformance(device);
}

BOOST_AUTO_TEST_CASE(cpu_with_one_thread) {
  const Threads threads(1);
  device::Cpu device;
  device_conformance(device);
}

BOOST_AUTO_TEST_CASE(minimal_archetype_gives_all_memory_back) {
  MinimalDevice device;
  device_conformance(device);
  BOOST_TEST(device.allocations == 0);
}

BOOST_AUTO_TEST_SUITE_END()
