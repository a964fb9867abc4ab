#include "demix/train/run_end.hpp"

#include <boost/test/unit_test.hpp>
#include <thread>

#include "comm/threads.hpp"
#include "demix/comm/agreement.hpp"
#include "demix/comm/self.hpp"
#include "demix/device/cpu.hpp"

using namespace demix;
using namespace demix::train;

namespace {

Settings settings_of(std::uint64_t max_update, std::uint64_t patience, double max_seconds) {
  Settings settings;
  settings.max_update = max_update;
  settings.patience = patience;
  settings.max_seconds = max_seconds;
  return settings;
}

RunState state_of(std::uint64_t step, std::uint64_t validations_without_best, double seconds) {
  RunState run;
  run.step = step;
  run.validations_without_best = validations_without_best;
  run.seconds = seconds;
  return run;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(run_end)

BOOST_AUTO_TEST_CASE(the_first_of_three_limits_ends_a_run) {
  const RunEnd end(settings_of(10, 3, 60), {});
  BOOST_TEST(!end.reached(state_of(9, 2, 59.9)));
  BOOST_TEST(end.reached(state_of(10, 0, 0)));
  BOOST_TEST(end.why(state_of(10, 3, 60)) == "");
  BOOST_TEST(end.reached(state_of(4, 3, 0)));
  BOOST_TEST(end.why(state_of(4, 3, 0)) ==
             "the run is over after update 4 of 10: the last 3 validations brought no new best average "
             "perplexity");
  BOOST_TEST(end.reached(state_of(4, 0, 60)));
  BOOST_TEST(end.why(state_of(4, 0, 60)) == "the run is over after update 4 of 10: it has had its 60 s");
}

BOOST_AUTO_TEST_CASE(a_limit_of_0_is_none) {
  const RunEnd end(settings_of(10, 0, 0), state_of(1, 0, 7));
  BOOST_TEST(!end.reached(state_of(9, 1000, 1e9)));
  device::Cpu device(1);
  comm::Self self;
  comm::Agreement alone(device, self);
  BOOST_TEST(end.seconds(alone) == 7.0);
}

BOOST_AUTO_TEST_CASE(the_seconds_are_rank_0s_and_those_of_before) {
  const auto began = std::chrono::steady_clock::now();
  std::vector<double> found(3);
  testing::ThreadComm::run(3, [&](testing::ThreadComm comm) {
    device::Cpu device(1);
    const auto rank = static_cast<std::size_t>(comm.rank());
    const RunEnd end(settings_of(10, 0, 60), state_of(1, 0, rank == 0 ? 1000.0 : 5.0));
    comm::Agreement ranks(device, comm);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    found[rank] = end.seconds(ranks);
  });
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - began;
  BOOST_TEST(found[0] >= 1000.02);
  BOOST_TEST(found[0] <= 1000 + all.count());
  BOOST_TEST(found[1] == found[0]);
  BOOST_TEST(found[2] == found[0]);
}

BOOST_AUTO_TEST_SUITE_END()
