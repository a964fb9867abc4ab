#include "demix/device/cpu.hpp"

#include <atomic>
#include <cfloat>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(cpu)

BOOST_AUTO_TEST_CASE(parallel_for_numbers_its_threads) {
  const Threads threads(3);
  device::Cpu device;
  BOOST_TEST(device.threads() == 3);
  std::vector<int> thread(300, -1);
  device.parallel_for(thread.size(), [&](std::size_t i) { thread[i] = device.thread_index(); });
  BOOST_TEST(std::is_sorted(thread.begin(), thread.end()));
  BOOST_TEST(thread.front() == 0);
  BOOST_TEST(thread.back() < 3);
}

BOOST_AUTO_TEST_CASE(parallel_for_visits_every_index_once) {
  for (const int count : {1, 3, 4}) {
    const Threads threads(count);
    device::Cpu device;
    for (const std::size_t n : {0, 1, 2, 3, 10, 301}) {
      std::vector<int> visits(n, 0);
      device.parallel_for(n, [&](std::size_t i) { ++visits[i]; });
      BOOST_TEST(std::count(visits.begin(), visits.end(), 1) == static_cast<std::ptrdiff_t>(n));
    }
  }
}

BOOST_AUTO_TEST_CASE(an_exception_in_parallel_for_is_that_of_the_lowest_index) {
  const Threads threads(3);
  device::Cpu device;
  std::atomic<int> visited = 0;
  const auto work = [&](std::size_t i) {
    require(i % 100 != 50, "index ", i, " fails");
    ++visited;
  };
  BOOST_CHECK_EXCEPTION(device.parallel_for(300, work), Error,
                        [](const Error& error) { return std::string(error.what()) == "index 50 fails"; });
  BOOST_TEST(visited == 150);
  device.parallel_for(40, work);  // the device is as good as before
  BOOST_TEST(visited == 190);
}

#if defined(__SSE__)
BOOST_AUTO_TEST_CASE(denormals_are_zero_in_kernels_and_nowhere_else) {
  device::Cpu device;
  volatile float smallest = FLT_MIN;
  std::vector<float> halves(64, 1.0f);
  device.parallel_for(halves.size(), [&](std::size_t i) { halves[i] = smallest * 0.5f; });
  for (const float half : halves) BOOST_TEST(half == 0.0f);
  BOOST_TEST(smallest * 0.5f > 0.0f);
}
#endif

BOOST_AUTO_TEST_CASE(double_gemm_ignores_c_when_beta_is_zero) {
  device::Cpu device;
  const double a[] = {1, 2}, b[] = {3, 4};
  double c[] = {NAN};
  device.gemm(device::Transpose::no, device::Transpose::no, 1, 1, 2, 2.0, a, 2, b, 1, 0.0, c, 1);
  BOOST_TEST(c[0] == 22.0);
}

BOOST_AUTO_TEST_CASE(a_gemm_that_cannot_be_is_an_error) {
  device::Cpu device;
  const float a[4] = {}, b[4] = {};
  float c[4] = {};
  BOOST_CHECK_THROW(
      device.gemm(device::Transpose::no, device::Transpose::no, 2, 2, 2, 1.0f, a, 1, b, 2, 0.0f, c, 2),
      Error);
}

BOOST_AUTO_TEST_CASE(a_gemm_that_cannot_be_is_an_error_inside_a_parallel_region_too) {
  const Threads threads(2);
  device::Cpu device;
  const float a[4] = {}, b[4] = {};
  std::vector<float> c(8);
  const auto gemm = [&](std::size_t i) {
    device.gemm(device::Transpose::no, device::Transpose::no, 2, 2, 2, 1.0f, a, 1, b, 2, 0.0f, &c[4 * i], 2);
  };
  BOOST_CHECK_EXCEPTION(device.parallel_for(2, gemm), Error, [](const Error& error) {
    return std::string(error.what()).find("sgemm failed") != std::string::npos;
  });
}

BOOST_AUTO_TEST_SUITE_END()
