#include "demix/device/array.hpp"

#include "device/archetype.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(array)

BOOST_AUTO_TEST_CASE(growing_and_moving_keep_one_allocation_each) {
  MinimalDevice device;
  {
    device::Array<MinimalDevice, float> a(device), b(device, 5);
    BOOST_TEST(device.allocations == 1);
    a.reserve(0);
    BOOST_TEST(device.allocations == 1);
    a.reserve(10);
    const float* data = a.data();
    a.reserve(7);
    BOOST_TEST(a.data() == data);
    a.reserve(11);
    BOOST_TEST(device.allocations == 2);
    b = std::move(a);
    BOOST_TEST(b.size() == 11u);
    device::Array<MinimalDevice, float> c(std::move(b));
    BOOST_TEST(c.size() == 11u);
    BOOST_TEST(b.size() == 0u);
    BOOST_TEST(device.allocations == 2);
  }
  BOOST_TEST(device.allocations == 0);
}

BOOST_AUTO_TEST_CASE(arrays_are_not_copied_by_accident) {
  using Floats = device::Array<MinimalDevice, float>;
  static_assert(!std::is_copy_constructible_v<Floats> && !std::is_copy_assignable_v<Floats>);
  static_assert(std::is_nothrow_move_constructible_v<Floats>);
}

BOOST_AUTO_TEST_SUITE_END()
