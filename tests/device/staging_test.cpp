#include "demix/device/staging.hpp"

#include <functional>
#include <numeric>
#include <vector>

#include "testing.hpp"

using namespace demix;

namespace {

/// A CPU whose uploads happen when `run` is called, and not before.
class LateDevice : public device::Cpu {
 public:
  struct Event {
    explicit Event(LateDevice&) {}
    std::size_t after = 0;  // it is done once so many uploads are
  };

  using device::Cpu::Cpu;

  std::size_t blocks = 0;    // of host memory, now
  std::size_t elements = 0;  // in them

  template <class T>
  T* allocate_host(std::size_t n) {
    ++blocks;
    elements += n;
    return Cpu::allocate<T>(n);
  }
  template <class T>
  void deallocate_host(T* pointer, std::size_t n) noexcept {
    --blocks;
    elements -= n;
    Cpu::deallocate(pointer, n);
  }
  template <class T>
  void upload(T* to, const T* from, std::size_t n) {
    submitted_.emplace_back([=, this] { copy(to, from, n); });
  }
  void record(Event& event) { event.after = submitted_.size(); }
  bool done(const Event& event) const { return event.after <= run_; }
  void wait(const Event& event) { run(event.after); }
  /// Until so many uploads are done.
  void run(std::size_t count) {
    for (; run_ < count; ++run_) submitted_[run_]();
  }

 private:
  std::vector<std::function<void()>> submitted_;
  std::size_t run_ = 0;
};
static_assert(device::Device<LateDevice>);

using Staging = device::Staging<LateDevice, int>;

/// Uploads first, first + 1, ...
void upload(Staging& staging, std::vector<int>& to, int first, std::size_t room) {
  staging.upload(to.data(), to.size(), room,
                 [first](std::span<int> values) { std::iota(values.begin(), values.end(), first); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(staging)

BOOST_AUTO_TEST_CASE(what_is_on_its_way_is_not_overwritten) {
  LateDevice device;
  {
    Staging staging(device);
    std::vector<int> first(3), second(3), third(2);
    upload(staging, first, 10, 3);
    upload(staging, second, 20, 3);
    BOOST_TEST(device.blocks == 2u);
    BOOST_TEST(first == (std::vector<int>{0, 0, 0}), boost::test_tools::per_element());
    device.run(1);
    upload(staging, third, 30, 2);  // leaves from the first one's block
    BOOST_TEST(device.blocks == 2u);
    device.run(3);
    BOOST_TEST(first == (std::vector<int>{10, 11, 12}), boost::test_tools::per_element());
    BOOST_TEST(second == (std::vector<int>{20, 21, 22}), boost::test_tools::per_element());
    BOOST_TEST(third == (std::vector<int>{30, 31}), boost::test_tools::per_element());
  }
  BOOST_TEST(device.blocks == 0u);
  BOOST_TEST(device.elements == 0u);
}

BOOST_AUTO_TEST_CASE(a_block_has_the_room_that_was_asked_for) {
  LateDevice device;
  Staging staging(device);
  std::vector<int> two(2), five(5), six(6);
  upload(staging, two, 1, 5);
  device.run(1);
  upload(staging, five, 1, 5);
  device.run(2);
  BOOST_TEST(device.blocks == 1u);
  BOOST_TEST(device.elements == 5u);
  upload(staging, six, 1, 6);
  BOOST_TEST(device.blocks == 2u);
  BOOST_TEST(device.elements == 11u);
  device.run(3);
  BOOST_TEST(six == (std::vector<int>{1, 2, 3, 4, 5, 6}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(nothing_needs_no_block) {
  LateDevice device;
  Staging staging(device);
  staging.upload(static_cast<int*>(nullptr), 0, 10, [](std::span<int>) { BOOST_ERROR("asked for nothing"); });
  BOOST_TEST(device.blocks == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
