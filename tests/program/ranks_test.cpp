#include "demix/program/ranks.hpp"

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <map>

#include "captured.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::program;
using namespace demix::test;

namespace {

using Variables = std::map<std::string, std::string>;

/// An environment of these variables, and of none of the launchers' others, while it lives.
class Environment {
 public:
  explicit Environment(const Variables& variables = {}) {
    clear();
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() { clear(); }

 private:
  static void clear() {
    for (const char* name : {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK",
                             "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "DEMIX_RANK_TIMEOUT"})
      ::unsetenv(name);
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(ranks)

BOOST_AUTO_TEST_CASE(launchers_are_recognised) {
  const auto launch = [](const Variables& variables) {
    const Environment environment(variables);
    const auto found = Launch::of_environment();
    return std::pair{found.by_mpi, found.processes};
  };
  BOOST_TEST((launch({}) == std::pair{false, 1}));
  BOOST_TEST((launch({{"OMPI_COMM_WORLD_RANK", "0"}, {"OMPI_COMM_WORLD_SIZE", "4"}}) == std::pair{true, 4}));
  BOOST_TEST((launch({{"PMI_RANK", "1"}, {"PMI_SIZE", "3"}}) == std::pair{true, 3}));
  BOOST_TEST((launch({{"PMIX_RANK", "1"}, {"SLURM_STEP_NUM_TASKS", "8"}}) == std::pair{true, 8}));
  BOOST_TEST((launch({{"SLURM_STEP_NUM_TASKS", "8"}}) == std::pair{false, 8}));
  BOOST_TEST((launch({{"SLURM_STEP_NUM_TASKS", "1"}}) == std::pair{false, 1}));
}

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
