#include "demix/program/shared_options.hpp"

#include <boost/test/unit_test.hpp>
#include <sstream>

using namespace demix;
using namespace demix::program;

namespace {

const train::Recipe preset{1000, 50, 70};

/// The settings after these arguments, beside the two that are required.
train::Settings read(std::vector<std::string> arguments, const train::Recipe& recipe = preset) {
  arguments.insert(arguments.end(), {"--data", "bin", "--save-dir", "runs/a"});
  train::Settings settings;
  SharedOptions shared(settings, {"0.0005", "from the recipe", "from the recipe"});
  boost::program_options::options_description all;
  all.add(shared.data).add(shared.optimization).add(shared.run);
  boost::program_options::variables_map values;
  boost::program_options::store(boost::program_options::command_line_parser(arguments).options(all).run(),
                                values);
  boost::program_options::notify(values);
  shared.read(values, recipe);
  return settings;
}

std::string refusal(const std::vector<std::string>& arguments) {
  try {
    read(arguments);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "none";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(shared_options)

BOOST_AUTO_TEST_CASE(betas_are_two_numbers_below_one) {
  for (const char* text : {"0.9,0.95", "(0.9, 0.95)", "0.9 0.95"}) BOOST_TEST(parse_betas(text)[1] == 0.95);
  for (const char* text : {"", "0.9", "0.9,0.95,0.99", "0.9,1", "-0.1,0.9", "a,b"})
    BOOST_CHECK_THROW(parse_betas(text), UsageError);
}

BOOST_AUTO_TEST_CASE(what_is_not_given_is_the_recipe_or_the_default) {
  const auto s = read({});
  const train::Settings defaults;
  BOOST_TEST(s.save_dir == "runs/a");
  BOOST_TEST(s.max_update == 1000u);
  BOOST_TEST(s.warmup_updates == 80u);
  BOOST_TEST(!s.total_num_update.has_value());
  BOOST_TEST(s.end_learning_rate == 0.0);
  BOOST_TEST(s.power == 1.0);
  BOOST_TEST(s.validate_interval == 50u);
  BOOST_TEST(s.save_interval == 70u);
  BOOST_TEST(s.adam.beta1 == 0.9);
  BOOST_TEST(s.adam.beta2 == 0.95);
  BOOST_TEST(s.adam.eps == defaults.adam.eps);
  BOOST_TEST(s.adam.weight_decay == defaults.adam.weight_decay);
  BOOST_TEST(s.learning_rate == defaults.learning_rate);
  BOOST_TEST(s.clip_norm == defaults.clip_norm);
  BOOST_TEST(s.batch_size == defaults.batch_size);
  BOOST_TEST(s.update_freq == defaults.update_freq);
  BOOST_TEST(s.seed.value == defaults.seed.value);
  BOOST_TEST(s.keep_checkpoints == defaults.keep_checkpoints);
  BOOST_TEST(s.log_interval == defaults.log_interval);
  BOOST_TEST(s.validation.max_batches == defaults.validation.max_batches);
}

BOOST_AUTO_TEST_CASE(every_option_reaches_its_setting) {
  const auto s = read({"--batch-size",
                       "3",
                       "--max-valid-steps",
                       "4",
                       "--lr",
                       "0.25",
                       "--warmup-updates",
                       "6",
                       "--max-update",
                       "70",
                       "--total-num-update",
                       "90",
                       "--end-learning-rate",
                       "0.0625",
                       "--power",
                       "2.5",
                       "--update-freq",
                       "8",
                       "--clip-norm",
                       "0",
                       "--adam-betas",
                       "0.5 0.75",
                       "--adam-eps",
                       "1e-9",
                       "--weight-decay",
                       "0.125",
                       "--seed",
                       "11",
                       "--validate-interval-updates",
                       "0",
                       "--save-interval-updates",
                       "13",
                       "--keep-interval-updates",
                       "14",
                       "--log-interval",
                       "15",
                       "--batch-size-valid",
                       "16",
                       "--patience",
                       "17",
                       "--stop-time-hours",
                       "1.5"});
  BOOST_TEST(s.batch_size == 3u);
  BOOST_TEST(s.validation.max_batches == 4u);
  BOOST_TEST(s.learning_rate == 0.25);
  BOOST_TEST(s.warmup_updates == 6u);
  BOOST_TEST(s.max_update == 70u);
  BOOST_TEST(s.total_num_update.value() == 90u);
  BOOST_TEST(s.end_learning_rate == 0.0625);
  BOOST_TEST(s.power == 2.5);
  BOOST_TEST(s.update_freq == 8u);
  BOOST_TEST(s.clip_norm == 0.0);
  BOOST_TEST(s.adam.beta1 == 0.5);
  BOOST_TEST(s.adam.beta2 == 0.75);
  BOOST_TEST(s.adam.eps == 1e-9);
  BOOST_TEST(s.adam.weight_decay == 0.125);
  BOOST_TEST(s.seed.value == 11u);
  BOOST_TEST(s.validate_interval == 0u);
  BOOST_TEST(s.save_interval == 13u);
  BOOST_TEST(s.keep_checkpoints == 14u);
  BOOST_TEST(s.log_interval == 15u);
  BOOST_TEST(s.validation.batch_size == 16u);
  BOOST_TEST(s.patience == 17u);
  BOOST_TEST(s.max_seconds == 5400.0);
  BOOST_TEST(s.validates);
  BOOST_TEST(!read({"--disable-validation"}).validates);
  BOOST_TEST(refusal({"--disable-validation", "--patience", "1"}).starts_with("--patience counts"));
}

BOOST_AUTO_TEST_CASE(warm_up_is_8_percent_of_the_updates) {
  for (const auto& [updates, warmup] : std::vector<std::pair<std::string, std::uint64_t>>{
           {"1", 0}, {"12", 0}, {"13", 1}, {"99", 7}, {"100", 8}, {"1234", 98}, {"300000", 24000}})
    BOOST_TEST(read({"--max-update", updates}).warmup_updates == warmup);
  // Of so many updates that 8 times their number is none.
  BOOST_TEST(read({"--max-update", "4000000000000000000", "--update-freq", "1"}).warmup_updates ==
             320000000000000000u);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_is_refused_with_the_options_name) {
  BOOST_TEST(refusal({"--max-update", "50", "--warmup-updates", "50"}) ==
             "--warmup-updates 50 is not below --max-update 50");
  BOOST_TEST(refusal({"--max-update", "50", "--warmup-updates", "49"}) == "none");
  BOOST_TEST(refusal({"--max-update", "4000000000000000000"}).find("--max-update times --update-freq") !=
             std::string::npos);
  BOOST_TEST(refusal({"--adam-betas", "(0.9, 1)"}).find("--adam-betas") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_decay_that_cannot_be_is_refused) {
  BOOST_TEST(refusal({"--max-update", "50", "--total-num-update", "40", "--end-learning-rate", "1e-5",
                      "--warmup-updates", "40"}) == "--warmup-updates 40 is not below --total-num-update 40");
  BOOST_TEST(refusal({"--max-update", "50", "--total-num-update", "41", "--end-learning-rate", "1e-5",
                      "--warmup-updates", "40"}) == "none");
  BOOST_TEST(refusal({"--max-update", "50", "--total-num-update", "100", "--warmup-updates", "60"}) ==
             "none");
  BOOST_TEST(refusal({"--end-learning-rate", "0.001"}) == "--end-learning-rate 0.001 is above --lr 0.0005");
  BOOST_TEST(refusal({"--end-learning-rate", "0.001", "--lr", "0.001"}) == "none");
  BOOST_TEST(refusal({"--max-update", "50", "--total-num-update", "49"}).find("would change nothing") !=
             std::string::npos);
  BOOST_TEST(refusal({"--max-update", "50", "--total-num-update", "50"}) == "none");
  for (const char* text : {"-1", "nan", "inf", "1e999", "x", ""})
    for (const char* option : {"--total-num-update", "--end-learning-rate", "--power"})
      BOOST_CHECK_THROW(read({std::string(option) + "=" + text}), std::exception);
  BOOST_CHECK_THROW(read({"--total-num-update", "0"}), std::exception);
}

BOOST_AUTO_TEST_CASE(the_help_has_the_defaults_of_the_program) {
  train::Settings settings;
  const SharedOptions shared(settings, {"5e-5", "a tenth", "a hundredth"});
  std::ostringstream help;
  help << shared.data << shared.optimization << shared.run;
  for (const char* text : {"5e-5", "(default: a tenth)", "(default: a hundredth)", "(0.9, 0.95)"})
    BOOST_TEST(help.str().find(text) != std::string::npos, text);
}

BOOST_AUTO_TEST_SUITE_END()
