#include "demix/train/run_state.hpp"

#include <boost/test/unit_test.hpp>

using namespace demix::train;

BOOST_AUTO_TEST_SUITE(run_state)

BOOST_AUTO_TEST_CASE(it_comes_back_as_it_was_written) {
  for (const bool due : {false, true}) {
    const RunState written{12, 123456789012345, {8, 0.1 + 0.2}, due, 3, 0.1, due ? 1u : 0u};
    const auto json = nlohmann::json::parse(to_json(written).dump());
    const RunState found = run_state_of(json, 12);
    BOOST_TEST(found.step == 12u);
    BOOST_TEST(found.tokens == 123456789012345u);
    BOOST_TEST((found.best == written.best));
    BOOST_TEST(found.validation_due == due);
    BOOST_TEST(found.validations_without_best == 3u);
    BOOST_TEST(found.seconds == 0.1);
    BOOST_TEST(found.warmup_ahead == written.warmup_ahead);
  }
}

BOOST_AUTO_TEST_CASE(no_validation_yet_is_worse_than_any) {
  const RunState found =
      run_state_of(nlohmann::json::parse(to_json(RunState{3, 30, {}, false, 0, 0, 0}).dump()), 3);
  BOOST_TEST(found.best.step == 0u);
  BOOST_TEST(found.best.average > 1e300);
}

BOOST_AUTO_TEST_CASE(states_of_before_have_no_validation_due_and_their_warm_up_is_ahead) {
  const RunState found = run_state_of({{"tokens", 5}, {"best_step", 2}, {"best_average_perplexity", 7.5}}, 4);
  BOOST_TEST(!found.validation_due);
  BOOST_TEST(found.validations_without_best == 0u);
  BOOST_TEST(found.seconds == 0.0);
  BOOST_TEST(found.warmup_ahead == 1u);
  BOOST_TEST(RunState().warmup_ahead == 0u);
  BOOST_TEST(found.best.average == 7.5);
  BOOST_CHECK_THROW(run_state_of({{"best_step", 2}}, 4), nlohmann::json::exception);
}

BOOST_AUTO_TEST_SUITE_END()
