#include "demix/train/settings.hpp"

#include <boost/test/unit_test.hpp>

using namespace demix;

BOOST_AUTO_TEST_SUITE(settings)

BOOST_AUTO_TEST_CASE(replicas_count_as_micro_batches_and_ranks_do_not_matter_else) {
  train::Settings s;
  s.update_freq = 8;
  const auto facts = optim::Adam::facts(s.adam);
  const auto one = train::settings_for_resume(s, 1, facts, nullptr);
  BOOST_TEST(one.at("update-freq") == 8);
  s.update_freq = 2;
  BOOST_TEST((train::settings_for_resume(s, 4, facts, nullptr) == one));
  BOOST_TEST((train::settings_for_resume(s, 2, facts, nullptr) != one));
  BOOST_TEST(!one.contains("adaptation"));
  BOOST_TEST(train::settings_for_resume(s, 4, facts, {{"mode", "full"}}).at("adaptation").at("mode") ==
             "full");
}

BOOST_AUTO_TEST_CASE(what_may_change_is_not_in_it) {
  train::Settings s, other;
  other.validate_interval = 7;
  other.save_interval = other.keep_checkpoints = other.validation.max_batches = other.log_interval = 9;
  other.save_dir = "elsewhere";
  const auto facts = optim::Adam::facts(s.adam);
  BOOST_TEST((train::settings_for_resume(s, 1, facts, nullptr) ==
              train::settings_for_resume(other, 1, facts, nullptr)));
  for (const auto change : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}) {
    other = s;
    if (change == 0) other.learning_rate *= 2;
    if (change == 1) ++other.warmup_updates;
    if (change == 2) ++other.max_update;
    if (change == 3) ++other.batch_size;
    if (change == 4) other.clip_norm = 0;
    if (change == 5) ++other.seed.value;
    if (change == 6) other.adam.eps *= 2;
    if (change == 7) other.total_num_update = s.max_update + 1;
    if (change == 8) other.end_learning_rate = 1e-5;
    if (change == 9) other.power = 2;
    if (change == 10) other.initial_values = InitialValues::fairseq;
    BOOST_TEST((train::settings_for_resume(s, 1, facts, nullptr) !=
                train::settings_for_resume(other, 1, optim::Adam::facts(other.adam), nullptr)),
               "change " << change);
  }
}

BOOST_AUTO_TEST_CASE(a_decay_as_it_was_before_there_was_a_choice_is_not_recorded) {
  train::Settings s;
  s.max_update = 7;
  const auto facts = optim::Adam::facts(s.adam);
  const auto before = train::settings_for_resume(s, 1, facts, nullptr);
  for (const char* name : {"total-num-update", "end-learning-rate", "power"})
    BOOST_TEST(!before.contains(name), name);
  s.total_num_update = 7;
  BOOST_TEST((train::settings_for_resume(s, 1, facts, nullptr) == before));
  s.total_num_update = 9;
  s.end_learning_rate = 0.25;
  s.power = 3;
  const auto chosen = train::settings_for_resume(s, 1, facts, nullptr);
  BOOST_TEST(chosen.at("total-num-update") == 9);
  BOOST_TEST(chosen.at("end-learning-rate") == 0.25);
  BOOST_TEST(chosen.at("power") == 3);
}

BOOST_AUTO_TEST_SUITE_END()
