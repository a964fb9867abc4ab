// Whole runs of small models: stopped at any moment, without room to save, with text that cannot be learnt.

#include "demix/train/trainer.hpp"

#include <boost/test/unit_test.hpp>
#include <csignal>

#include "checkpoint/fixtures.hpp"
#include "demix/data/indexed_file_writer.hpp"
#include "demix/train/program.hpp"

using namespace demix;
using demix::test::error_of, demix::test::mentions;
namespace fs = std::filesystem;

namespace {

using Model = test::Experts;
const std::vector<std::string> domains{"a", "b"};

/// A data-bin of two domains and the settings of a run of four updates, validated and saved every second.
struct Setting {
  Setting() {
    std::string dictionary;
    for (int i = 0; i < 7; ++i) dictionary += concat(i, " 1\n");
    fs::create_directories(data());
    test::write_bytes(data() / "dict.txt", dictionary);
    for (const auto& domain : domains)
      write_text(domain, "train", 5), write_text(domain, "valid_" + domain, 4);
    settings.experiment = "demix";
    settings.batch_size = 2;
    settings.update_freq = 2;
    settings.max_update = 4;
    settings.learning_rate = 0.01;
    settings.validate_interval = settings.save_interval = 2;
    settings.keep_checkpoints = 0;
    settings.log_interval = 1;
    settings.save_dir = folder.path / "run";
  }

  fs::path data() const { return folder.path / "data"; }

  void write_text(const std::string& domain, const std::string& split, Token first) const {
    fs::create_directories(data() / domain);
    data::TokenFileWriter writer(data() / domain / split, 11);
    for (Token t = 0; t < 600; ++t) writer.add(std::vector<Token>{first, 4 + t % 7, 5, 4 + t % 3, 2});
    writer.finish();
  }

  /// Starts or continues the run in `save_dir`; what Trainer::run returns.
  template <class Poll>
  bool train(const fs::path& save_dir, const Poll& poll) {
    settings.save_dir = save_dir;
    device::Cpu device;
    comm::Self comm;
    auto config = test::small_config();
    config.dropout = 0.1f;
    Model model(device, config, domains, Seed{3});
    const auto text =
        train::open_data(data(), domains, data::Dictionary::load(data() / "dict.txt"), model.text_length());
    train::Trainer<Model, comm::Self> trainer(model, comm, text, settings);
    return trainer.run(poll);
  }
  bool train(const fs::path& save_dir) {
    return train(save_dir, [] {});
  }

  const test::TemporaryFolder folder;
  train::Settings settings;
};

/// The lines of a run, but for how fast it was.
std::vector<nlohmann::json> metrics(const fs::path& run) {
  std::ifstream in(run / "metrics.jsonl");
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(nlohmann::json::parse(line));
    lines.back().erase("tokens_per_second");
    BOOST_TEST(line.find("null") == std::string::npos);
  }
  return lines;
}

void require_same_run(const fs::path& run, const fs::path& expected) {
  BOOST_TEST((metrics(run) == metrics(expected)));
  for (const char* name : {"model.h5", "experts/a.h5", "experts/b.h5", "state.h5"})
    BOOST_TEST((test::read_bytes(run / "checkpoint_4" / name) ==
                test::read_bytes(expected / "checkpoint_4" / name)));
  for (const char* link : {"checkpoint_last", "checkpoint_best"})
    BOOST_TEST(fs::read_symlink(run / link) == fs::read_symlink(expected / link));
}

/// Stops a run at its n-th poll, counted from 0.
auto stop_at(std::size_t n) {
  return [n, polls = std::make_shared<std::size_t>(0)] {
    if ((*polls)++ == n) throw Stopped(SIGTERM);
  };
}

}  // namespace

BOOST_AUTO_TEST_SUITE(trainer)

BOOST_AUTO_TEST_CASE(stopped_at_any_poll_it_keeps_whole_updates_and_continues_bit_for_bit) {
  Setting setting;
  const auto unbroken = setting.folder.path / "unbroken";
  std::size_t polls = 0;
  BOOST_TEST(setting.train(unbroken, [&] { ++polls; }));
  // 4 updates of 2 micro-batches, 2 validations of 2 domains.
  BOOST_TEST(polls > 4 * 2 + 2 * 2);
  const std::size_t validation = (polls - 4 * 2) / 2;
  std::set<std::uint64_t> saved;
  for (std::size_t n = 0; n < polls; ++n) {
    const auto run = setting.folder.path / concat("stopped_at_", n);
    BOOST_TEST(!setting.train(run, stop_at(n)));
    const std::uint64_t whole =
        n < 4 + validation ? std::min<std::size_t>(n / 2, 2) : std::min<std::size_t>((n - validation) / 2, 4);
    const checkpoint::CheckpointFolder folder(run);
    BOOST_TEST(folder.latest_step().value_or(0) == whole);
    BOOST_TEST(folder.step_of("checkpoint_last").value_or(0) == whole);
    BOOST_TEST(setting.train(run));
    require_same_run(run, unbroken);
  }
}

BOOST_AUTO_TEST_CASE(stopped_again_and_again_it_is_the_same_run) {
  Setting setting;
  const auto unbroken = setting.folder.path / "unbroken", run = setting.folder.path / "run";
  std::size_t polls = 0, stops = 0;
  setting.train(unbroken, [&] { ++polls; });
  // An attempt that gets through the longest validation goes on.
  while (!setting.train(run, stop_at((polls - 4 * 2) / 2 + 1))) BOOST_REQUIRE(++stops < polls);
  BOOST_TEST(stops > 1u);
  require_same_run(run, unbroken);
}

BOOST_AUTO_TEST_CASE(a_validation_that_is_repeated_after_a_kill_has_one_line) {
  Setting setting;
  setting.settings.max_update = 6;
  setting.settings.learning_rate = 0;  // so no validation is better than the first, and none is saved as best
  setting.settings.save_interval = 0;
  const auto unbroken = setting.folder.path / "unbroken", run = setting.folder.path / "run";
  std::size_t polls = 0;
  setting.train(unbroken, [&] { ++polls; });
  const std::size_t validation = (polls - 6 * 2) / 3;
  BOOST_TEST(!setting.train(run, stop_at(4 + validation + 4 + 1)));  // in the second one
  struct Kill {};
  std::size_t left = validation;  // all of that validation, then it is killed
  const auto kill = [&] {
    if (left-- == 0) throw Kill();
  };
  BOOST_CHECK_THROW(setting.train(run, kill), Kill);
  BOOST_TEST(metrics(run).back().at("type") == "valid");
  BOOST_TEST(setting.train(run));
  BOOST_TEST((metrics(run) == metrics(unbroken)));
}

BOOST_AUTO_TEST_CASE(a_stop_before_the_first_update_saves_nothing) {
  Setting setting;
  const auto run = setting.folder.path / "run";
  BOOST_TEST(!setting.train(run, stop_at(1)));
  BOOST_TEST(!checkpoint::CheckpointFolder(run).latest_step().has_value());
  BOOST_TEST(!fs::exists(fs::symlink_status(run / "checkpoint_best")));
}

BOOST_AUTO_TEST_CASE(a_save_that_fails_is_tried_again_after_the_next_interval) {
  Setting setting;
  setting.settings.save_interval = 1;
  const auto run = setting.folder.path / "run";
  fs::create_directories(run);
  test::write_bytes(run / "checkpoint_2", "in the way");  // of the best checkpoint, too
  BOOST_TEST(setting.train(run));
  for (const char* step : {"1", "3", "4"}) BOOST_TEST(fs::is_directory(run / concat("checkpoint_", step)));
  BOOST_TEST(fs::read_symlink(run / "checkpoint_last") == "checkpoint_4");
  BOOST_TEST(fs::read_symlink(run / "checkpoint_best") == "checkpoint_4");
  BOOST_TEST(metrics(run).back().at("best_step") == 4);
}

BOOST_AUTO_TEST_CASE(a_last_save_that_fails_is_an_error) {
  Setting setting;
  const auto run = setting.folder.path / "run";
  fs::create_directories(run);
  test::write_bytes(run / "checkpoint_4", "in the way");
  BOOST_TEST(mentions(error_of([&] { setting.train(run); }), {"checkpoint_4"}));
  BOOST_TEST(fs::read_symlink(run / "checkpoint_last") == "checkpoint_2");
}

BOOST_AUTO_TEST_CASE(text_of_padding_alone_is_refused) {
  Setting setting;
  for (const auto& domain : domains) {
    data::TokenFileWriter writer(setting.data() / domain / "train", 11);
    writer.add(std::vector<Token>(100, pad_token));
    writer.finish();
  }
  const auto error = error_of([&] { setting.train(setting.folder.path / "run"); });
  BOOST_TEST(mentions(error, {"train.bin", "is id 1, <pad>, which no text holds"}));
}

BOOST_AUTO_TEST_CASE(a_perplexity_that_overflows_ends_the_run_with_its_place) {
  Setting setting;
  setting.settings.learning_rate = 100;  // losses of thousands of nats, which are finite
  setting.settings.validate_interval = 1;
  setting.settings.save_interval = 0;
  const auto run = setting.folder.path / "run";
  BOOST_TEST(mentions(error_of([&] { setting.train(run); }),
                      {"update 1", "average validation perplexity", "is not finite", "nothing was saved"}));
  BOOST_TEST(metrics(run).size() == 1u);
  setting.settings.validate_interval = 0;
  fs::remove_all(run);
  BOOST_TEST(mentions(error_of([&] { setting.train(run); }),
                      {"update 2", "mean loss of", "nats on domain 'a' is not finite"}));
  BOOST_TEST(metrics(run).size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
