#include "demix/train/updates.hpp"

#include "device/counting.hpp"
#include "train/run_setting.hpp"

using namespace demix;
using namespace demix::test;
using testing::CountingDevice;

namespace {

struct Counts {
  std::size_t waits, allocations;
};

/// Of each of `n` updates.
template <class Model>
std::vector<Counts> counts_of(std::size_t n, std::size_t layers, std::size_t domains,
                              std::size_t micro_batches, data::Sampling sampling = data::Sampling::balanced) {
  std::vector<std::string> names;
  for (std::size_t d = 0; d < domains; ++d) names.push_back(concat("domain", d));
  const RunSetting setting(names);
  CountingDevice device;
  auto config = small_config();
  config.layers = layers;
  config.dropout = 0.1f;
  Model model(device, config, names, Seed{3});
  std::vector<data::BlockDataset> datasets;
  const auto placement = comm::Placement::whole(domains);
  for (const auto& name : names)
    datasets.push_back(data::open_split(setting.data(), name, "train", 11, model.text_length()));
  const data::TrainBatcher batcher(datasets, data::numbered(placement.domains), sampling, 2, Seed{1});
  train::Trainable<Model> trainable(model);
  train::Updates<CountingDevice, Fp32, comm::Self, optim::Adam> loop(
      trainable, batcher, comm::Self(), placement, {micro_batches, 0.1, Seed{1}}, {},
      optim::whole_regions(model.weights().master()));
  std::vector<Counts> counts;
  for (std::uint64_t number = 1; number <= n; ++number) {
    const Counts before{device.waits, device.allocations};
    loop.update(number, 0.01, [] {});
    counts.push_back({device.waits - before.waits, device.allocations - before.allocations});
  }
  return counts;
}

using CountedExperts = DEMixModel<CountingDevice, Fp32, ops::Relu>;
using CountedDense = DenseModel<CountingDevice, Fp32, ops::Relu>;
using CountedTokens = DomainTokenModel<CountingDevice, Fp32, ops::Relu>;

}  // namespace

BOOST_AUTO_TEST_SUITE(updates)

BOOST_AUTO_TEST_CASE(an_update_waits_once_whatever_its_size) {
  for (const std::size_t layers : {1u, 3u})
    for (const std::size_t domains : {1u, 2u, 5u})
      for (const std::size_t micro_batches : {1u, 4u}) {
        const auto counts = counts_of<CountedExperts>(3, layers, domains, micro_batches);
        BOOST_TEST(counts[1].waits == 1u);
        BOOST_TEST(counts[2].waits == 1u);
      }
  BOOST_TEST(counts_of<CountedDense>(2, 2, 2, 2)[1].waits == 1u);
  BOOST_TEST(counts_of<CountedTokens>(2, 2, 2, 2)[1].waits == 1u);
}

BOOST_AUTO_TEST_CASE(nothing_is_allocated_after_the_first_update) {
  const auto check = [](const std::vector<Counts>& counts) {
    BOOST_TEST(counts[0].allocations > 0u);
    for (std::size_t n = 1; n < counts.size(); ++n) BOOST_TEST(counts[n].allocations == 0u);
  };
  check(counts_of<CountedExperts>(8, 2, 3, 2));
  check(counts_of<CountedTokens>(8, 2, 3, 2));
  check(counts_of<CountedDense>(30, 1, 5, 1, data::Sampling::unbalanced));
}

BOOST_AUTO_TEST_CASE(an_update_without_tokens_changes_nothing_and_says_so) {
  const RunSetting setting;
  device::Cpu device;
  Experts model(device, small_config(), two_domains, Seed{3});
  std::vector<data::BlockDataset> datasets;
  for (const auto& name : two_domains)
    datasets.push_back(data::open_split(setting.data(), name, "train", 11, model.text_length()));
  const data::TrainBatcher batcher(datasets, data::numbered({DomainId{0}, DomainId{1}}),
                                   data::Sampling::balanced, 2, Seed{1});
  /// Loses every target on its way.
  class Blind final : public train::TrainableModel<device::Cpu, Fp32> {
   public:
    explicit Blind(Experts& model) : model_(model) {}
    device::Cpu& device() const override { return model_.device(); }
    Weights<device::Cpu, Fp32>& weights() override { return model_.weights(); }
    const ParameterLayout& layout() const override { return model_.layout(); }
    const ModelConfig& config() const override { return model_.config(); }
    ModelConfig dictionary_config() const override { return model_.dictionary_config(); }
    const std::vector<std::string>& domains() const override { return model_.domains(); }
    void accumulate_gradients(const Batch& batch, const ops::Dropout& dropout,
                              GradientArena<device::Cpu, Fp32>& gradients, LossTotals<device::Cpu>& totals,
                              const Complete&) override {
      Batch blind = batch;
      std::fill(blind.target.begin(), blind.target.end(), pad_token);
      model_.accumulate_gradients(blind, dropout, gradients, totals);
    }
    eval::Scorer& scorer() override { throw Error("not scored"); }

   private:
    Experts& model_;
  } blind(model);
  train::Updates<device::Cpu, Fp32, comm::Self, optim::Adam> loop(
      blind, batcher, comm::Self(), comm::Placement::whole(2), {1, 0.1, Seed{1}}, {},
      optim::whole_regions(model.weights().master()));
  const auto region = model.weights().master().region(RegionId::shared());
  const std::vector<float> before(region.begin(), region.end());
  const auto report = loop.update(1, 0.01, [] {});
  BOOST_TEST(report.all_tokens() == 0.0);
  BOOST_TEST(std::isnan(report.gradient_scale));
  BOOST_TEST(std::equal(before.begin(), before.end(), region.begin()));
}

BOOST_AUTO_TEST_SUITE_END()
