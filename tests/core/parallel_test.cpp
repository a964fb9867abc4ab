#include "demix/core/parallel.hpp"

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <stdexcept>
#include <string>
#include <vector>

using namespace demix;

BOOST_AUTO_TEST_SUITE(parallel)

BOOST_AUTO_TEST_CASE(every_thread_is_called_once) {
  for (const int threads : {1, 2, 5}) {
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(threads));
    std::atomic<int> count = 0;
    parallel_region(threads, [&](int thread, int n) {
      ++calls[static_cast<std::size_t>(thread)];
      count = n;
    });
    BOOST_TEST((count >= 1 && count <= threads));
    for (int t = 0; t < threads; ++t) BOOST_TEST(calls[static_cast<std::size_t>(t)] == (t < count ? 1 : 0));
  }
}

BOOST_AUTO_TEST_CASE(the_exception_of_the_lowest_thread_leaves_when_all_are_done) {
  std::atomic<int> done = 0;
  int expected = 0;
  try {
    parallel_region(4, [&](int thread, int n) {
      if (thread == 0) expected = n;
      ++done;
      if (thread != 1 || n == 1) throw std::runtime_error(std::to_string(thread));
    });
    BOOST_ERROR("no exception");
  } catch (const std::runtime_error& error) {
    BOOST_TEST(error.what() == "0");
  }
  BOOST_TEST(done == expected);
}

BOOST_AUTO_TEST_CASE(inside_another_region_there_is_one_thread) {
  std::atomic<int> most = 0;
  parallel_region(2, [&](int, int outer) {
    parallel_region(3, [&](int, int n) {
      if (outer > 1 && n > most) most = n;
    });
  });
  BOOST_TEST(most <= 1);
}

BOOST_AUTO_TEST_SUITE_END()
