// Policies whose master weights are not what is computed with.

#include "demix/core/precision.hpp"

#include "demix/optim/sgd.hpp"
#include "train/run_setting.hpp"

using namespace demix;
using namespace demix::test;

namespace {

struct FloatWithDoubleMaster {
  using compute_type = float;
  using master_type = double;
  static constexpr const char* name = "fp32 with fp64 master";
};
static_assert(Precision<FloatWithDoubleMaster> && !computes_with_master<FloatWithDoubleMaster>);

using Mixed = FloatWithDoubleMaster;
using MixedModel = DEMixModel<device::Cpu, Mixed, ops::Relu>;

const auto no_poll = [] {};

}  // namespace

BOOST_AUTO_TEST_SUITE(precision)

BOOST_AUTO_TEST_CASE(a_double_master_trains_saves_and_resumes_bit_for_bit) {
  RunSetting setting;
  const auto unbroken = setting.folder.path / "unbroken", stopped = setting.folder.path / "stopped",
             plain = setting.folder.path / "plain";
  BOOST_TEST(setting.train_with<Mixed>(unbroken, setting.settings.adam, no_poll));
  for (std::size_t n : {3u, 5u}) {
    const auto run = setting.folder.path / concat("stopped_at_", n);
    BOOST_TEST(!setting.train_with<Mixed>(run, setting.settings.adam, stop_at(n)));
    BOOST_TEST(setting.train_with<Mixed>(run, setting.settings.adam, no_poll));
    BOOST_TEST((metrics(run) == metrics(unbroken)));
    for (const char* name :
         {"model.h5", "experts/a.h5", "experts/b.h5", "state.h5", "state/a.h5", "state/b.h5"})
      BOOST_TEST((read_bytes(run / "checkpoint_4" / name) == read_bytes(unbroken / "checkpoint_4" / name)));
  }
  // Near single precision, and not the same: the master weights keep what float would round away.
  BOOST_TEST(setting.train(plain));
  const double loss = metrics(unbroken).back().at("average_perplexity"),
               other = metrics(plain).back().at("average_perplexity");
  BOOST_TEST(loss != other);
  BOOST_TEST(loss == other, boost::test_tools::tolerance(1e-5));
}

BOOST_AUTO_TEST_CASE(a_step_that_single_precision_cannot_take_moves_a_double_master) {
  device::Cpu device;
  MixedModel model(device, small_config(), two_domains, Seed{1});
  auto gradients = model.make_gradients();
  optim::OptimizerState<device::Cpu, Mixed, optim::Sgd> state(device, {0, 0},
                                                              optim::whole_regions(gradients));
  auto& master = model.weights().master();
  const RegionId shared = RegionId::shared();
  std::fill(master.region(shared).begin(), master.region(shared).end(), 1.0);
  model.weights().refresh();
  std::fill(gradients.region(shared).begin(), gradients.region(shared).end(), 1.0f);
  const double scale = 1;
  for (std::uint64_t n = 1; n <= 100; ++n) state.step(model.weights(), gradients, {n, 1e-9, &scale});
  BOOST_TEST(master.region(shared)[0] == 1 - 1e-7, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(model.weights().compute().region(shared)[0] == static_cast<float>(1 - 1e-7));
}

BOOST_AUTO_TEST_CASE(evaluation_holds_the_copy_alone_and_gives_the_same_losses) {
  const TemporaryFolder folder;
  device::Cpu device;
  MixedModel trained(device, small_config(), two_domains, Seed{1});
  checkpoint::save(folder.path / "x", metadata_of(trained, "demix"), trained);
  checkpoint::load_values(folder.path / "x", trained);  // what float32 in files leaves of the master
  MixedModel loaded(device, small_config(), two_domains, MixedModel::Use::evaluation);
  checkpoint::load_values(folder.path / "x", loaded);
  const Batch batch{5,
                    {2, 4, 5, 6, 7, 2, 9, 8, 7, 6},
                    {4, 5, 6, 7, 2, 9, 8, 7, 6, 2},
                    {{DomainId{0}, 0, 1}, {DomainId{1}, 1, 2}}};
  BOOST_TEST((loaded.token_losses(batch) == trained.token_losses(batch)));
  BOOST_TEST(!loaded.weights().has_master());
  BOOST_CHECK_THROW(loaded.weights().master(), Error);
}

BOOST_AUTO_TEST_CASE(another_optimizer_trains_and_resumes) {
  RunSetting setting;
  setting.settings.learning_rate = 0.5;
  setting.settings.clip_norm = 0;
  const auto unbroken = setting.folder.path / "unbroken", run = setting.folder.path / "run";
  const optim::SgdSettings sgd{0.9, 0};
  BOOST_TEST((setting.train_with<Fp32, optim::Sgd>(unbroken, sgd, no_poll)));
  BOOST_TEST((!setting.train_with<Fp32, optim::Sgd>(run, sgd, stop_at(5))));
  BOOST_TEST(mentions(error_of([&] {
                        setting.train_with<Fp32, optim::Sgd>(run, {0.8, 0}, no_poll);
                      }),
                      {"cannot continue", "momentum"}));
  BOOST_TEST(mentions(error_of([&] { setting.train(run); }), {"cannot continue", "adam-betas"}));
  BOOST_TEST((setting.train_with<Fp32, optim::Sgd>(run, sgd, no_poll)));
  BOOST_TEST((metrics(run) == metrics(unbroken)));
  const double first = metrics(run).front().at("loss"),
               last = metrics(run)[metrics(run).size() - 2].at("loss");
  BOOST_TEST(last < first);
}

BOOST_AUTO_TEST_SUITE_END()
