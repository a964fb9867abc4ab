#include "demix/program/adapt_options.hpp"

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"

using namespace demix;

namespace {

/// The options of a command that adapts a base of 3 000 updates.
adapt::Settings parse(std::vector<std::string> arguments) {
  const test::TemporaryFolder folder;
  device::Cpu device;
  test::Dense model(device, test::small_config(), {"a"}, Seed{1});
  test::save_without_state(folder.path / "c", "unbalanced", model, 3000);
  arguments.insert(arguments.begin(),
                   {"demix-adapt", "data-bin", (folder.path / "c").string(), "--save-dir", "runs/b"});
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  program::AdaptOptions options;
  checkpoint::Checkpoints checkpoints;
  BOOST_TEST(program::parse_adapt_options(static_cast<int>(argv.size()), argv.data(), checkpoints, options));
  return options.adaptation;
}

const std::vector<std::string> usual{"--domain", "news", "--mode", "feedforward"};

std::vector<std::string> with(std::vector<std::string> more) {
  more.insert(more.begin(), usual.begin(), usual.end());
  return more;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(adapt_options)

BOOST_AUTO_TEST_CASE(the_defaults_are_a_tenth_of_training) {
  const auto options = parse(usual);
  const auto& s = options.training;
  BOOST_TEST(options.domain == "news");
  BOOST_TEST((options.mode == adapt::Mode::feedforward));
  BOOST_TEST(options.from.empty());
  BOOST_TEST(s.experiment == "unbalanced");
  BOOST_TEST(s.learning_rate == 5e-5);
  BOOST_TEST(s.max_update == 300u);
  BOOST_TEST(s.warmup_updates == 24u);
  BOOST_TEST(s.validate_interval == 30u);
  BOOST_TEST(s.save_interval == 30u);
  BOOST_TEST(s.clip_norm == 0.1);
  BOOST_TEST(s.batch_size == 2u);
  BOOST_TEST(s.update_freq == 8u);
}

BOOST_AUTO_TEST_CASE(intervals_follow_the_updates) {
  BOOST_TEST(parse(with({"--max-update", "50"})).training.validate_interval == 5u);
  BOOST_TEST(parse(with({"--max-update", "5"})).training.save_interval == 1u);
  const auto s = parse(with({"--max-update", "50", "--save-interval-updates", "0"})).training;
  BOOST_TEST(s.save_interval == 0u);
  BOOST_TEST(s.validate_interval == 5u);
}

BOOST_AUTO_TEST_CASE(wrong_ones_are_usage_errors) {
  BOOST_CHECK_THROW(parse({"--domain", "news", "--mode", "feed-forward"}), UsageError);
  BOOST_CHECK_THROW(parse({"--domain", "news"}), UsageError);
  BOOST_CHECK_THROW(parse({"--mode", "full"}), UsageError);
  for (const char* option : {"--max-update", "--batch-size"})
    BOOST_CHECK_THROW(parse(with({option, "0"})), UsageError);
  BOOST_CHECK_THROW(parse(with({"--arch", "transformer_lm"})), UsageError);
  BOOST_CHECK_THROW(parse(with({"--tokens-per-sample", "16"})), UsageError);
  BOOST_CHECK_THROW(parse(with({"--train-domains", "news"})), UsageError);
}

BOOST_AUTO_TEST_SUITE_END()
