#include "demix/train/run_log.hpp"

#include "train/run_setting.hpp"

using namespace demix;
using namespace demix::test;

namespace {

struct Logged {
  TemporaryFolder folder;
  train::Settings settings;
  train::RunState run;

  Logged() {
    settings.save_dir = folder.path;
    settings.max_update = 5;
    settings.log_interval = 2;
  }
  train::UpdateReport report() const { return {{6, 0}, 0, {3, 0}, {9}, 0, 1}; }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(run_log, Logged)

BOOST_AUTO_TEST_CASE(lines_come_at_intervals_and_at_the_end) {
  train::RunLog log(run, settings);
  for (run.step = 1; run.step <= 5; ++run.step) {
    log.begin_update();
    run.tokens += 3;
    log.end_update(run, report(), 0.5, {"law", "code"});
  }
  log.complete();
  const auto lines = metrics(folder.path);
  BOOST_TEST_REQUIRE(lines.size() == 3u);
  BOOST_TEST(lines[0].at("step") == 2);
  BOOST_TEST(lines[1].at("step") == 4);
  BOOST_TEST(lines[2] ==
             nlohmann::json::parse(R"({"type": "train", "step": 5, "loss": 2.0, "learning_rate": 0.5,
      "gradient_norm": 1.0, "tokens": 15, "loss_by_domain": {"law": 2.0}, "perplexity": )" +
                                   nlohmann::json(std::exp(2.0)).dump() + "}"));
}

BOOST_AUTO_TEST_CASE(a_validation_is_one_line) {
  train::RunLog log(run, settings);
  run.step = 4;
  run.best = {2, 3.5};
  const train::Validation found{{{"law", 3.0}, {"code", 5.0}}, 4.0};
  log.validated(run, found);
  BOOST_TEST(metrics(folder.path).back() == nlohmann::json::parse(R"({"type": "valid", "step": 4,
      "perplexity": {"law": 3.0, "code": 5.0}, "average_perplexity": 4.0, "best_average_perplexity": 3.5,
      "best_step": 2})"));
  BOOST_TEST(train::RunLog::line(4, found) == "update 4 validation perplexity: law 3 code 5");
}

BOOST_AUTO_TEST_CASE(the_log_of_another_rank_is_silent) {
  train::RunLog log;
  log.begin_update();
  log.end_update(run, report(), 0.5, {"law", "code"});
  log.validated(run, {{{"law", 3.0}}, 3.0});
  log.message("nothing");
  log.complete();
  BOOST_TEST(fs::is_empty(folder.path));
}

BOOST_AUTO_TEST_SUITE_END()
