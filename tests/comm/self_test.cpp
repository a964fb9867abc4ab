#include "demix/comm/self.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <vector>

#include "comm/conformance.hpp"
#include "processes.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(self)

BOOST_AUTO_TEST_CASE(conforms) { testing::communicator_conformance(comm::Self()); }

BOOST_AUTO_TEST_CASE(a_sum_over_one_rank_keeps_every_bit) {
  comm::Self comm;
  std::vector<float> numbers{-0.0f, 1e-45f, 3.4e38f};
  const auto before = numbers;
  comm.all_reduce(std::span<float>(numbers));
  BOOST_TEST(numbers == before, boost::test_tools::per_element());
  BOOST_TEST(std::signbit(numbers[0]));
}

BOOST_AUTO_TEST_CASE(abort_ends_the_process) {
  const pid_t child = test::start_child([]() -> int { comm::Self().abort("the end"); });
  BOOST_TEST(test::status_of(child) == 1);
}

BOOST_AUTO_TEST_SUITE_END()
