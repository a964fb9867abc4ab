#include "demix/comm/launch.hpp"

#include <boost/test/unit_test.hpp>

#include "comm/launch_environment.hpp"

using namespace demix;
using namespace demix::comm;
using namespace demix::test;

BOOST_AUTO_TEST_SUITE(launch)

BOOST_AUTO_TEST_CASE(launchers_are_recognised) {
  const auto found_in = [](const Variables& variables) {
    const Environment environment(variables);
    const auto found = Launch::of_environment();
    return std::pair{found.by_mpi, found.processes};
  };
  BOOST_TEST((found_in({}) == std::pair{false, 1}));
  BOOST_TEST(
      (found_in({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "4"}}) == std::pair{true, 4}));
  BOOST_TEST((found_in({{"PMI_RANK", "1"}, {"PMI_SIZE", "3"}}) == std::pair{true, 3}));
  BOOST_TEST((found_in({{"PMIX_RANK", "1"}, {"SLURM_STEP_NUM_TASKS", "8"}}) == std::pair{true, 8}));
  BOOST_TEST((found_in({{"SLURM_STEP_NUM_TASKS", "8"}}) == std::pair{false, 8}));
  BOOST_TEST((found_in({{"SLURM_STEP_NUM_TASKS", "1"}}) == std::pair{false, 1}));
}

BOOST_AUTO_TEST_CASE(the_timeout_is_the_environments) {
  const auto timeout = [](const std::string& text) {
    const Environment environment(Variables{{"DEMIX_RANK_TIMEOUT", text}});
    return rank_timeout();
  };
  BOOST_TEST(timeout("0") == 0);
  BOOST_TEST(timeout("2.5") == 2.5);
  for (const char* wrong : {"", "-1", "x", "1s"}) BOOST_CHECK_THROW(timeout(wrong), UsageError);
  const Environment environment;
  BOOST_TEST(rank_timeout() == 40);
}

BOOST_AUTO_TEST_SUITE_END()
