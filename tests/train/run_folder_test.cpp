#include "demix/train/run_folder.hpp"

#include "checkpoint/old_state.hpp"
#include "train/rank_runs.hpp"

using namespace demix;
using namespace demix::test;

namespace {

using Folder = train::RunFolder<device::Cpu, Fp32, comm::Self, optim::Adam>;

/// What a run of one process keeps a folder of.
struct Kept {
  TemporaryFolder temporary;
  fs::path path = temporary.path / "run";
  device::Cpu device{1};
  Experts model{device, small_config(), two_domains, Seed{3}};
  train::Trainable<Experts> trainable{model};
  optim::OptimizerState<device::Cpu, Fp32, optim::Adam> optimizer{
      device, {}, optim::whole_regions(model.weights().master())};
  comm::Self self;
  comm::Agreement<device::Cpu, comm::Self> alone{device, self};
  train::RunIdentity identity{"demix", "data-bin", "fingerprint-1", {{"a", {{"train", 1}}}}, {{"lr", 0.5}}};

  Folder open(std::size_t keep = 0) {
    return {path, keep, identity, trainable, optimizer, alone, comm::Placement::whole(2)};
  }
  /// Something of its own in every number, by region.
  void fill(float x) {
    for (const RegionId r : model.weights().regions())
      std::fill(model.weights().master().region(r).begin(), model.weights().master().region(r).end(), x++);
    for (std::size_t i = 0; i < optimizer.trained().size(); ++i)
      for (std::size_t s : {0u, 1u}) std::fill(optimizer.slot(s, i).begin(), optimizer.slot(s, i).end(), x++);
  }
  bool is_filled(float x) {
    bool is = true;
    for (const RegionId r : model.weights().regions())
      is = is && model.weights().master().region(r)[0] == x++;
    for (std::size_t i = 0; i < optimizer.trained().size(); ++i)
      for (std::size_t s : {0u, 1u}) is = is && optimizer.slot(s, i)[0] == x++;
    return is;
  }
};

train::RunState at(std::uint64_t step, train::Best best = {}, bool due = false) {
  return {step, 10 * step, best, due};
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(run_folder, Kept)

BOOST_AUTO_TEST_CASE(what_was_saved_comes_back) {
  {
    auto folder = open();
    BOOST_TEST(folder.resume().step == 0u);
    BOOST_TEST(mentions(folder.last_good(), {"nothing was saved"}));
    fill(1);
    folder.save(at(3, {3, 2.5}, true));
    BOOST_TEST(folder.last_good() == (path / "checkpoint_3").string());
    BOOST_TEST(mentions(error_of([&] { open(); }), {"another process"}));
  }
  fill(100);
  auto folder = open();
  const auto run = folder.resume();
  BOOST_TEST(is_filled(1));
  BOOST_TEST(run.step == 3u);
  BOOST_TEST(run.tokens == 30u);
  BOOST_TEST(run.validation_due);
  BOOST_TEST((folder.saved_best() == train::Best{3, 2.5}));
  BOOST_TEST(fs::read_symlink(path / "checkpoint_best") == "checkpoint_3");
}

BOOST_AUTO_TEST_CASE(what_is_there_is_not_written_again_but_for_a_validation_that_was_due) {
  auto folder = open();
  folder.resume();
  fill(1);
  folder.save(at(2, {}, true));
  const auto model_bytes = read_bytes(path / "checkpoint_2" / "model.h5"),
             state = read_bytes(path / "checkpoint_2" / "state.h5");
  folder.save(at(2, {}, true));
  BOOST_TEST((read_bytes(path / "checkpoint_2" / "state.h5") == state));
  folder.save(at(2, {2, 1.5}));
  BOOST_TEST((read_bytes(path / "checkpoint_2" / "state.h5") != state));
  BOOST_TEST((read_bytes(path / "checkpoint_2" / "model.h5") == model_bytes));
  BOOST_TEST(fs::read_symlink(path / "checkpoint_best") == "checkpoint_2");
}

BOOST_AUTO_TEST_CASE(old_checkpoints_go_but_for_the_best) {
  auto folder = open(1);
  folder.resume();
  for (const std::uint64_t step : {1u, 2u, 3u, 4u}) folder.save(at(step, {2, 1.5}));
  BOOST_TEST(!fs::exists(path / "checkpoint_1"));
  BOOST_TEST(fs::exists(path / "checkpoint_2"));
  BOOST_TEST(!fs::exists(path / "checkpoint_3"));
  BOOST_TEST(fs::read_symlink(path / "checkpoint_last") == "checkpoint_4");
}

BOOST_AUTO_TEST_CASE(a_save_that_fails_leaves_the_best_as_it_was) {
  auto folder = open();
  folder.resume();
  folder.save(at(1, {1, 2.5}));
  write_bytes(path / "checkpoint_2", "in the way");
  BOOST_TEST(mentions(error_of([&] { folder.save(at(2, {2, 1.5})); }), {"checkpoint_2", "exists already"}));
  BOOST_TEST((folder.saved_best() == train::Best{1, 2.5}));
  BOOST_TEST(folder.last_good() == (path / "checkpoint_1").string());
}

BOOST_AUTO_TEST_CASE(another_run_is_refused_with_both_values) {
  {
    auto folder = open();
    folder.resume();
    folder.save(at(1));
  }
  const auto refusal = [&](auto change) {
    const auto kept = identity;
    change(identity);
    const auto error = error_of([&] { open().resume(); });
    identity = kept;
    return error;
  };
  using Identity = train::RunIdentity;
  BOOST_TEST(refusal([](Identity&) {}) == "no error");
  BOOST_TEST(mentions(refusal([](Identity& i) { i.experiment = "mine"; }), {"experiment", "demix", "mine"}));
  BOOST_TEST(mentions(refusal([](Identity& i) { i.vocabulary_fingerprint = "other"; }), {"fingerprint"}));
  BOOST_TEST(mentions(refusal([](Identity& i) { i.settings["lr"] = 0.25; }), {"settings", "0.5", "0.25"}));
  BOOST_TEST(mentions(refusal([](Identity& i) {
                        i.text["a"] = {{"train", 2}};
                      }),
                      {"train text of domain 'a'"}));
}

// Before there were files of experts, state.h5 held all.
BOOST_AUTO_TEST_CASE(a_checkpoint_of_before_resumes_and_a_validation_that_was_due_is_recorded) {
  {
    auto folder = open();
    folder.resume();
    fill(1);
    folder.save(at(2, {}, true));
  }
  const auto checkpoint = path / "checkpoint_2";
  const std::string scalars = checkpoint::SavedState{checkpoint::Checkpoint(checkpoint)}.scalars();
  const auto divided = read_bytes(checkpoint / "state" / "b.h5");
  auto state = checkpoint::state_of(model.layout(), optimizer);
  state.scalars = scalars;
  write_old_state(checkpoint, "trained", 2, two_domains, state);
  fill(100);
  auto folder = open();
  BOOST_TEST(folder.resume().validation_due);
  BOOST_TEST(is_filled(1));
  folder.save(at(2, {2, 1.5}));
  BOOST_TEST((read_bytes(checkpoint / "state" / "b.h5") == divided));
  fill(100);
  BOOST_TEST(!folder.resume().validation_due);
  BOOST_TEST(is_filled(1));
}

BOOST_AUTO_TEST_SUITE_END()
