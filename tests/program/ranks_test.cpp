#include "demix/program/ranks.hpp"

#include <boost/test/unit_test.hpp>

#include "captured.hpp"
#include "comm/launch_environment.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::program;
using namespace demix::test;

BOOST_AUTO_TEST_SUITE(ranks)

BOOST_AUTO_TEST_CASE(processes_that_cannot_find_each_other_are_refused) {
  Captured err(std::cerr);
  const Environment environment(Variables{{"SLURM_STEP_NUM_TASKS", "4"}});
  BOOST_TEST(run_on_ranks("p", [](Ranks&) { return 0; }) == 2);
  BOOST_TEST(contains(err.text(), "p: this is one of 4 processes, but MPI knows of one; "));
}

BOOST_AUTO_TEST_CASE(one_process_is_a_rank_alone) {
  Captured err(std::cerr);
  const Environment environment;
  const auto code = run_on_ranks("p", [](Ranks& ranks) -> int {
    require(ranks.rank() == 0 && ranks.size() == 1 && ranks.is_first() && ranks.sharers() == 1, "not alone");
    auto comm = ranks.communicator();
    require(comm.size() == 1, "a communicator of others");
    throw UsageError("a wrong option");
  });
  BOOST_TEST(code == 2);
  BOOST_TEST(err.text() == "p: a wrong option\np: --help shows the usage\n");
}

BOOST_AUTO_TEST_SUITE_END()
