// Whole runs of small models: stopped at any moment, without room to save, with text that cannot be learnt.

#include "demix/train/trainer.hpp"

#include "demix/checkpoint/model_source.hpp"
#include "model/model_testing.hpp"
#include "train/run_setting.hpp"

using namespace demix;
using namespace demix::test;

namespace {

void require_same_run(const fs::path& run, const fs::path& expected) {
  BOOST_TEST((metrics(run) == metrics(expected)));
  for (const char* name :
       {"model.h5", "experts/a.h5", "experts/b.h5", "state.h5", "state/a.h5", "state/b.h5"})
    BOOST_TEST((test::read_bytes(run / "checkpoint_4" / name) ==
                test::read_bytes(expected / "checkpoint_4" / name)));
  for (const char* link : {"checkpoint_last", "checkpoint_best"})
    BOOST_TEST(fs::read_symlink(run / link) == fs::read_symlink(expected / link));
}

/// A field of a run's lines of one type, "train" or "valid".
template <class T>
std::vector<T> fields_of(const fs::path& run, const std::string& type, const std::string& field) {
  std::vector<T> values;
  for (const auto& line : metrics(run))
    if (line.at("type") == type) values.push_back(line.at(field));
  return values;
}

/// At which updates a run was validated.
std::vector<int> validated_steps(const fs::path& run) { return fields_of<int>(run, "valid", "step"); }

/// Leaves of a state what an older demix recorded, which had its own warm-up and did not say so.
void forget_warmup(const fs::path& checkpoint) {
  namespace hdf5 = checkpoint::hdf5;
  const std::string path = checkpoint / "state.h5";
  auto scalars = nlohmann::json::parse(checkpoint::SavedState(checkpoint::Checkpoint(checkpoint)).scalars());
  BOOST_REQUIRE(scalars.erase("warmup_ahead") == 1u);
  const hdf5::Object file{hdf5::Handle(H5Fclose, H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), path),
                          path};
  BOOST_REQUIRE(H5Ldelete(file.id(), "scalars", H5P_DEFAULT) >= 0);
  hdf5::write_text(file, "scalars", scalars.dump());
}

std::vector<double> learning_rates(const fs::path& run) {
  return fields_of<double>(run, "train", "learning_rate");
}

/// The weights of a setting's run, made by updates with these learning rates and nothing else.
std::vector<float> weights_after(const RunSetting& setting, const std::vector<double>& rates) {
  device::Cpu device;
  auto config = small_config();
  config.dropout = 0.1f;
  Experts model(device, config, setting.domains, Seed{3});
  const auto text = setting.open(model.text_length(), setting.domains);
  const auto placement = comm::Placement::whole(setting.domains.size());
  const auto& s = setting.settings;
  const data::TrainBatcher batcher(text.train, data::numbered(placement.domains), s.sampling, s.batch_size,
                                   s.seed);
  train::Trainable trainable(model);
  train::Updates<device::Cpu, Fp32, comm::Self, optim::Adam> updates(
      trainable, batcher, comm::Self(), placement, {s.update_freq, s.clip_norm, s.seed}, s.adam,
      optim::whole_regions(model.weights().master()));
  for (std::size_t u = 1; u <= rates.size(); ++u) updates.update(u, rates[u - 1], [] {});
  return testing::all_values(model.weights().master());
}

std::vector<float> weights_of(const fs::path& checkpoint) {
  device::Cpu device;
  const auto model = checkpoint::ModelSource(checkpoint).load<Experts>(device);
  return testing::all_values(model.weights().master());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(trainer)

BOOST_AUTO_TEST_CASE(the_learning_rate_is_the_schedules_of_the_settings) {
  RunSetting setting;
  setting.settings.max_update = 6;
  setting.settings.warmup_updates = 2;
  setting.settings.total_num_update = 4;
  setting.settings.end_learning_rate = 0.002;
  setting.settings.power = 2;
  const auto run = setting.folder.path / "run";
  BOOST_TEST(setting.train(run));
  const std::vector<double> rates{0, 0.005, 0.01, 0.004, 0.002, 0.002};  // 0.002 + 0.008 (left / 2)^2
  BOOST_TEST(learning_rates(run) == rates, boost::test_tools::per_element());
  BOOST_TEST((weights_of(run / "checkpoint_6") == weights_after(setting, rates)));
}

// An older demix had peak u / warmup in update u. What it began goes on so, however often it is stopped.
BOOST_AUTO_TEST_CASE(a_run_that_an_older_demix_began_keeps_its_warm_up_bit_for_bit) {
  RunSetting setting;
  setting.settings.max_update = 6;
  setting.settings.warmup_updates = 4;
  setting.settings.validate_interval = setting.settings.save_interval = 0;
  const auto run = setting.folder.path / "run";
  BOOST_TEST(!setting.train(run, stop_at(2)));
  forget_warmup(run / "checkpoint_1");
  BOOST_TEST(!setting.train(run, stop_at(4)));
  BOOST_TEST(setting.train(run));
  const double peak = 0.01;
  const std::vector<double> old{peak * 2 / 4, peak * 3 / 4, peak, peak, peak / 2};
  std::vector<double> rates{0};  // the first update was made by this demix
  rates.insert(rates.end(), old.begin(), old.end());
  BOOST_TEST(learning_rates(run) == rates, boost::test_tools::per_element());
  BOOST_TEST((weights_of(run / "checkpoint_6") == weights_after(setting, rates)));
  const auto begun_now = setting.folder.path / "begun_now";
  BOOST_TEST(!setting.train(begun_now, stop_at(2)));
  BOOST_TEST(setting.train(begun_now));
  const std::vector<double> new_rates{0, peak / 4, peak * 2 / 4, peak * 3 / 4, peak, peak / 2};
  BOOST_TEST(learning_rates(begun_now) == new_rates, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(stopped_at_any_poll_it_keeps_whole_updates_and_continues_bit_for_bit) {
  RunSetting setting;
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
  RunSetting setting;
  const auto unbroken = setting.folder.path / "unbroken", run = setting.folder.path / "run";
  std::size_t polls = 0, stops = 0;
  setting.train(unbroken, [&] { ++polls; });
  // An attempt that gets through the longest validation goes on.
  while (!setting.train(run, stop_at((polls - 4 * 2) / 2 + 1))) BOOST_REQUIRE(++stops < polls);
  BOOST_TEST(stops > 1u);
  require_same_run(run, unbroken);
}

BOOST_AUTO_TEST_CASE(a_validation_that_is_repeated_after_a_kill_has_one_line) {
  RunSetting setting;
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
  RunSetting setting;
  const auto run = setting.folder.path / "run";
  BOOST_TEST(!setting.train(run, stop_at(1)));
  BOOST_TEST(!checkpoint::CheckpointFolder(run).latest_step().has_value());
  BOOST_TEST(!fs::exists(fs::symlink_status(run / "checkpoint_best")));
}

BOOST_AUTO_TEST_CASE(a_save_that_fails_is_tried_again_after_the_next_interval) {
  RunSetting setting;
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
  RunSetting setting;
  const auto run = setting.folder.path / "run";
  fs::create_directories(run);
  test::write_bytes(run / "checkpoint_4", "in the way");
  BOOST_TEST(mentions(error_of([&] { setting.train(run); }), {"checkpoint_4"}));
  BOOST_TEST(fs::read_symlink(run / "checkpoint_last") == "checkpoint_2");
}

BOOST_AUTO_TEST_CASE(text_of_padding_alone_is_refused) {
  RunSetting setting;
  for (const auto& domain : two_domains) {
    data::TokenFileWriter writer(setting.data() / domain / "train", 11);
    writer.add(std::vector<Token>(100, pad_token));
    writer.finish();
  }
  const auto error = error_of([&] { setting.train(setting.folder.path / "run"); });
  BOOST_TEST(mentions(error, {"train.bin", "is id 1, <pad>, which no text holds"}));
}

BOOST_AUTO_TEST_CASE(a_perplexity_that_overflows_ends_the_run_with_its_place) {
  RunSetting setting;
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

BOOST_AUTO_TEST_CASE(a_checkpoint_of_an_interval_is_validated) {
  RunSetting setting;
  setting.settings.validate_interval = 0;
  setting.settings.save_interval = 3;
  const auto run = setting.folder.path / "run";
  BOOST_TEST(setting.train(run));
  BOOST_TEST(validated_steps(run) == (std::vector<int>{3, 4}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(without_validation_there_is_no_best) {
  RunSetting setting;
  const auto validated = setting.folder.path / "validated", run = setting.folder.path / "run";
  BOOST_TEST(setting.train(validated));
  setting.settings.validates = false;
  BOOST_TEST(setting.train(run));
  BOOST_TEST(validated_steps(run).empty());
  BOOST_TEST(!fs::exists(fs::symlink_status(run / "checkpoint_best")));
  BOOST_TEST(fs::is_directory(run / "checkpoint_2"));
  BOOST_TEST(
      (read_bytes(run / "checkpoint_4" / "model.h5") == read_bytes(validated / "checkpoint_4" / "model.h5")));
}

BOOST_AUTO_TEST_CASE(without_saving_there_is_no_checkpoint) {
  RunSetting setting;
  setting.settings.saves = false;
  const auto run = setting.folder.path / "run";
  BOOST_TEST(!setting.train(run, stop_at(5)));
  BOOST_TEST(setting.train(run));
  BOOST_TEST(!checkpoint::CheckpointFolder(run).latest_step().has_value());
  BOOST_TEST(!fs::exists(fs::symlink_status(run / "checkpoint_last")));
  BOOST_TEST(metrics(run).size() == 4u + 2u);
}

BOOST_AUTO_TEST_CASE(a_run_ends_when_its_patience_does) {
  RunSetting setting;
  setting.settings.learning_rate = 0;  // so the first validation stays the best
  setting.settings.validate_interval = 1;
  setting.settings.max_update = 6;
  const auto unbroken = setting.folder.path / "unbroken", run = setting.folder.path / "run";
  BOOST_TEST(setting.train(unbroken));
  setting.settings.patience = 3;
  BOOST_TEST(!setting.train(run, stop_at(7)));  // what was counted is not forgotten
  BOOST_TEST(setting.train(run));
  BOOST_TEST(validated_steps(run) == (std::vector<int>{1, 2, 3, 4}), boost::test_tools::per_element());
  BOOST_TEST(fs::read_symlink(run / "checkpoint_last") == "checkpoint_4");
  const auto ended = metrics(run);
  BOOST_TEST(setting.train(run, stop_at(0)));  // nothing is left to do
  BOOST_TEST((metrics(run) == ended));
  setting.settings.patience = 0;
  BOOST_TEST(setting.train(run));
  BOOST_TEST((metrics(run) == metrics(unbroken)));
}

BOOST_AUTO_TEST_CASE(a_new_best_renews_the_patience) {
  RunSetting setting;
  setting.settings.validate_interval = 1;
  setting.settings.patience = 1;
  const auto run = setting.folder.path / "run";
  BOOST_TEST(setting.train(run));
  const auto best = fields_of<int>(run, "valid", "best_step");
  BOOST_TEST(best == validated_steps(run), boost::test_tools::per_element());
  BOOST_TEST(best.back() == 4);
}

BOOST_AUTO_TEST_CASE(a_run_ends_when_its_time_does) {
  RunSetting setting;
  const auto unbroken = setting.folder.path / "unbroken", run = setting.folder.path / "run";
  BOOST_TEST(setting.train(unbroken));
  setting.settings.max_seconds = 1e-9;
  BOOST_TEST(setting.train(run));
  BOOST_TEST(validated_steps(run) == std::vector<int>{1}, boost::test_tools::per_element());
  BOOST_TEST(fs::read_symlink(run / "checkpoint_last") == "checkpoint_1");
  BOOST_TEST(setting.train(run, stop_at(0)));
  setting.settings.max_seconds = 1e9;
  BOOST_TEST(setting.train(run));
  BOOST_TEST(
      (read_bytes(run / "checkpoint_4" / "model.h5") == read_bytes(unbroken / "checkpoint_4" / "model.h5")));
  setting.settings.max_seconds = 1e-3;  // it has had more, in three parts
  setting.settings.max_update = 4;
  const auto lines = metrics(run);
  BOOST_TEST(setting.train(run));
  BOOST_TEST((metrics(run) == lines));
}

BOOST_AUTO_TEST_CASE(a_new_run_goes_on_where_another_one_was) {
  RunSetting setting;
  const auto old = setting.folder.path / "old", run = setting.folder.path / "run";
  BOOST_TEST(setting.train(old));
  setting.settings.start = {old / "checkpoint_2", true};
  BOOST_TEST(setting.train(run));
  for (const char* name : {"model.h5", "experts/a.h5", "experts/b.h5", "state/a.h5", "state/b.h5"})
    BOOST_TEST((read_bytes(run / "checkpoint_4" / name) == read_bytes(old / "checkpoint_4" / name)));
  BOOST_TEST((metrics(run).front() == metrics(old)[3]));  // behind two updates and a validation
  BOOST_TEST(!fs::exists(run / "checkpoint_2"));

  // More updates, text and another schedule, stopped and continued, when the old run is no more.
  setting.settings.max_update = 7;
  setting.settings.batch_size = 3;
  setting.write_text("a", "train", 6);
  const auto longer = setting.folder.path / "longer";
  setting.settings.start = {old / "checkpoint_last", true};
  BOOST_TEST(!setting.train(longer, stop_at(3)));
  fs::remove_all(old);
  BOOST_TEST(setting.train(longer));
  BOOST_TEST(fs::read_symlink(longer / "checkpoint_last") == "checkpoint_7");
  BOOST_TEST(fields_of<int>(longer, "train", "step") == (std::vector<int>{5, 6, 7}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_new_run_begins_with_the_weights_of_another_one) {
  RunSetting setting;
  const auto old = setting.folder.path / "old", run = setting.folder.path / "run";
  BOOST_TEST(setting.train(old));
  RunSetting other({"b"});  // one of its experts
  other.settings.learning_rate = 0;
  other.settings.adam.weight_decay = 0;
  other.settings.start = {old / "checkpoint_last", false};
  BOOST_TEST(other.train(run));
  const auto written = checkpoint::read_metadata(run / "checkpoint_4");
  BOOST_TEST(written.domains == std::vector<std::string>{"b"}, boost::test_tools::per_element());
  device::Cpu device;
  Experts before(device, small_config(), two_domains), after(device, small_config(), {"b"});
  checkpoint::load_values(old / "checkpoint_4", before);
  checkpoint::load_values(run / "checkpoint_4", after);
  const auto same = [&](RegionId in, RegionId out) {
    return std::ranges::equal(before.weights().master().region(in), after.weights().master().region(out));
  };
  BOOST_TEST(same(RegionId::shared(), RegionId::shared()));
  BOOST_TEST(same(ExpertId{1}, ExpertId{0}));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_a_start_is_refused) {
  RunSetting setting;
  const auto old = setting.folder.path / "old", run = setting.folder.path / "run";
  BOOST_TEST(setting.train(old));
  const auto refusal = [&](RunSetting& of, const train::Start& start) {
    of.settings.start = start;
    const auto error = error_of([&] { of.train(run); });
    BOOST_TEST(!checkpoint::CheckpointFolder(run).latest_step().has_value());
    return error;
  };
  BOOST_TEST(mentions(refusal(setting, {old / "checkpoint_4", true}),
                      {"checkpoint_4 has had 4 updates already, so a run of 4 has none to do"}));
  BOOST_TEST(mentions(refusal(setting, {old / "checkpoint_9", true}), {"checkpoint_9"}));
  RunSetting fewer({"b"}), stranger({"a", "c"});
  BOOST_TEST(mentions(refusal(fewer, {old / "checkpoint_2", true}),
                      {"list of domains", "[\"a\",\"b\"]", "[\"b\"]", "its weights alone"}));
  BOOST_TEST(mentions(refusal(stranger, {old / "checkpoint_2", false}), {"'c'"}));
  fs::remove_all(old / "checkpoint_2" / "state");
  BOOST_TEST(mentions(refusal(setting, {old / "checkpoint_2", true}), {"state"}));
  write_bytes(setting.data() / "dict.txt", "9 1\n0 1\n1 1\n2 1\n3 1\n4 1\n5 1\n");
  BOOST_TEST(mentions(refusal(setting, {old / "checkpoint_2", false}), {"vocabular"}));
}

BOOST_AUTO_TEST_CASE(validation_scores_the_domains_and_batches_that_are_asked_for) {
  RunSetting setting;
  const auto all = setting.folder.path / "all", run = setting.folder.path / "run";
  BOOST_TEST(setting.train(all));
  setting.settings.validation.domains = {"b"};
  setting.settings.validation.batch_size = 1;
  std::size_t polls = 0;
  BOOST_TEST(setting.train(run, [&] { ++polls; }));
  const auto blocks = setting.open(small_config().tokens_per_sample, two_domains).valid.back().blocks();
  BOOST_TEST(polls == 4 * 2 + 2 * blocks);
  const auto found = metrics(run).back().at("perplexity"), expected = metrics(all).back().at("perplexity");
  BOOST_TEST(found.size() == 1u);
  BOOST_TEST(found.at("b").get<double>() == expected.at("b").get<double>(),
             boost::test_tools::tolerance(1e-6));
}

BOOST_AUTO_TEST_SUITE_END()
