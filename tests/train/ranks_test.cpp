// Ranks without ranks: threads of one process that share a run as ranks do, against one that makes it alone.

#include <cmath>
#include <mutex>

#include "comm/threads.hpp"
#include "demix/train/updates.hpp"
#include "train/run_setting.hpp"

using namespace demix;
using namespace demix::test;
using testing::ThreadComm;

namespace {

const std::vector<std::string> four{"a", "b", "c", "d"};
constexpr std::uint64_t updates = 20;

/// What a run leaves: the reports of its updates, the gradients of the first, and the weights after the last,
/// by region.
struct Outcome {
  std::vector<train::UpdateReport> reports;
  std::map<RegionId, std::vector<double>> gradients, weights;
  std::map<RegionId, int> holders;
};

template <class Model>
class Share {
 public:
  /// One rank's part of a run.
  template <comm::Communicator Comm>
  static void run(const RunSetting& setting, Comm comm, const comm::Placement& placement,
                  data::Sampling sampling, std::size_t micro_batches, Outcome& outcome, std::mutex& mutex) {
    device::Cpu device(1);
    auto config = small_config();
    config.dropout = 0.1f;
    Model model(device, config, four, held(placement));
    initialize(device, model.layout(), Seed{3}, model.weights());
    require(model.weights().size() ==
                model.layout().shared.size() + model.weights().held().size() * model.layout().expert.size(),
            "a rank's weights are not those that it holds");
    std::vector<data::BlockDataset> datasets;
    std::vector<data::BatchText> texts;
    for (const DomainId domain : placement.domains) {
      datasets.push_back(
          data::open_split(setting.data(), four[index(domain)], "train", 11, model.text_length()));
      texts.push_back({domain, index(domain)});
    }
    const data::TrainBatcher batcher(datasets, texts, sampling, 2, Seed{1},
                                     {placement.part, placement.parts});
    train::Trainable<Model> trainable(model);
    train::Updates<device::Cpu, typename Model::PrecisionType, Comm, optim::Adam> loop(
        trainable, batcher, std::move(comm), placement, {micro_batches, 0.1, Seed{1}}, {},
        optim::whole_regions(model.weights().master()));
    for (std::uint64_t n = 1; n <= updates; ++n) {
      const auto report = loop.update(n, 0.01, [] {});
      const std::lock_guard lock(mutex);
      if (placement.rank == 0) outcome.reports.push_back(report);
      if (n == 1) store(loop.gradients(), outcome.gradients);
    }
    const std::lock_guard lock(mutex);
    store(model.weights().master(), outcome.weights);
    for (const RegionId r : model.weights().regions()) ++outcome.holders[r];
  }

 private:
  static HeldExperts held(const comm::Placement& placement) {
    return Model::has_experts ? placement.held_experts() : HeldExperts(0);
  }
  /// Holders of a region must agree bit for bit.
  static void store(const auto& arena, std::map<RegionId, std::vector<double>>& regions) {
    for (const RegionId r : arena.regions()) {
      const std::vector<double> numbers(arena.region(r).begin(), arena.region(r).end());
      const auto [there, is_new] = regions.try_emplace(r, numbers);
      require(is_new || there->second == numbers, "two ranks hold different numbers of one region");
    }
  }
};

template <class Model>
Outcome alone(const RunSetting& setting, std::size_t micro_batches,
              data::Sampling sampling = data::Sampling::balanced) {
  Outcome outcome;
  std::mutex mutex;
  Share<Model>::run(setting, comm::Self(), comm::Placement::whole(four.size()), sampling, micro_batches,
                    outcome, mutex);
  return outcome;
}

template <class Model>
Outcome together(const RunSetting& setting, int ranks, std::size_t micro_batches,
                 data::Sampling sampling = data::Sampling::balanced) {
  Outcome outcome;
  std::mutex mutex;
  ThreadComm::run(ranks, [&](ThreadComm comm) {
    const auto placement = Model::has_experts ? comm::Placement::by_domain(comm.rank(), ranks, four.size())
                                              : comm::Placement::by_sequence(comm.rank(), ranks, four.size());
    Share<Model>::run(setting, std::move(comm), placement, sampling, micro_batches, outcome, mutex);
  });
  return outcome;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double difference = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference = std::max(difference, std::fabs(a[i] - b[i]));
    scale = std::max(scale, std::fabs(b[i]));
  }
  return difference / scale;
}

void check_same(const Outcome& found, const Outcome& expected, double tolerance = 1e-6) {
  BOOST_TEST_REQUIRE(found.reports.size() == updates);
  for (std::size_t n = 0; n < updates; ++n) {
    const auto &a = found.reports[n], &b = expected.reports[n];
    for (std::size_t d = 0; d < four.size(); ++d) {
      BOOST_TEST(a.losses[d] == b.losses[d], boost::test_tools::tolerance(tolerance));
      BOOST_TEST(a.tokens[d] == b.tokens[d]);
    }
    BOOST_TEST(a.gradient_norm() == b.gradient_norm(), boost::test_tools::tolerance(2 * tolerance));
  }
  BOOST_TEST(found.gradients.size() == expected.gradients.size());
  for (const auto& [region, numbers] : expected.gradients)
    BOOST_TEST(largest_difference(found.gradients.at(region), numbers) < tolerance);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ranks)

BOOST_AUTO_TEST_CASE(experts_on_two_and_four_ranks_equal_one_process) {
  const RunSetting setting(four);
  const Outcome expected = alone<Experts>(setting, 2);
  for (const int ranks : {2, 4}) {
    const Outcome found = together<Experts>(setting, ranks, 2);
    check_same(found, expected);
    for (const auto& [region, holders] : found.holders)
      BOOST_TEST(holders == (region.is_shared() ? ranks : 1));
  }
}

// Adam makes whole steps of gradients that are rounding errors alone (those of the biases of k are 0), so
// weights are compared where such errors are far below its eps.
BOOST_AUTO_TEST_CASE(in_double_precision_the_weights_too_are_those_of_one_process) {
  using Model = DEMixModel<device::Cpu, Fp64, ops::Relu>;
  const RunSetting setting(four);
  const Outcome expected = alone<Model>(setting, 2);
  for (const auto& [ranks, micro_batches] : {std::pair{2, 2u}, {4, 2u}, {8, 1u}}) {
    const Outcome found = together<Model>(setting, ranks, micro_batches);
    check_same(found, expected, 1e-12);
    for (const auto& [region, numbers] : expected.weights)
      BOOST_TEST(largest_difference(found.weights.at(region), numbers) < 1e-8);
  }
}

BOOST_AUTO_TEST_CASE(replicas_equal_one_process_with_twice_the_micro_batches) {
  const RunSetting setting(four);
  const Outcome found = together<Experts>(setting, 8, 1);
  check_same(found, alone<Experts>(setting, 2));
  for (const auto& [region, holders] : found.holders) BOOST_TEST(holders == (region.is_shared() ? 8 : 2));
}

BOOST_AUTO_TEST_CASE(models_without_experts_share_out_the_sequences) {
  const RunSetting setting(four);
  const auto unbalanced = data::Sampling::unbalanced;
  const Outcome dense = alone<Dense>(setting, 2), from_all = alone<Dense>(setting, 2, unbalanced);
  for (const int ranks : {2, 3, 4}) {
    check_same(together<Dense>(setting, ranks, 2), dense);
    check_same(together<Dense>(setting, ranks, 2, unbalanced), from_all);
  }
  // Two micro-batches at a time, each shared out among four or three; and five by one rank each.
  check_same(together<Dense>(setting, 8, 1), dense);
  check_same(together<Dense>(setting, 6, 1, unbalanced), from_all);
  check_same(together<DomainTokens>(setting, 4, 1), alone<DomainTokens>(setting, 1));
  check_same(together<DomainTokens>(setting, 5, 1), alone<DomainTokens>(setting, 5));
}

BOOST_AUTO_TEST_CASE(ranks_repeat_bit_for_bit) {
  const RunSetting setting(four);
  const Outcome first = together<Experts>(setting, 4, 1), again = together<Experts>(setting, 4, 1);
  BOOST_TEST((first.weights == again.weights));
}

BOOST_AUTO_TEST_CASE(who_wants_to_stop_is_heard_by_all) {
  const RunSetting setting(four);
  std::mutex mutex;
  std::vector<double> heard;
  ThreadComm::run(2, [&](ThreadComm comm) {
    const int rank = comm.rank();
    const auto placement = comm::Placement::by_sequence(rank, 2, four.size());
    device::Cpu device(1);
    Dense model(device, small_config(), four, Seed{3});
    std::vector<data::BlockDataset> datasets;
    for (const auto& name : four)
      datasets.push_back(data::open_split(setting.data(), name, "train", 11, model.text_length()));
    const data::TrainBatcher batcher(datasets, data::numbered(placement.domains), data::Sampling::balanced, 2,
                                     Seed{1}, {placement.part, placement.parts});
    train::Trainable<Dense> trainable(model);
    train::Updates<device::Cpu, Fp32, ThreadComm, optim::Adam> loop(
        trainable, batcher, std::move(comm), placement, {1, 0.1, Seed{1}}, {},
        optim::whole_regions(model.weights().master()));
    for (std::uint64_t n = 1; n <= 2; ++n) {
      bool stopped = false;
      try {
        loop.update(n, 0.01, [&] {
          if (n == 2 && rank == 1) throw Stopped(SIGTERM);
        });
      } catch (const Stopped&) {
        stopped = true;
      }
      const std::lock_guard lock(mutex);
      heard.push_back(stopped);
    }
  });
  std::sort(heard.begin(), heard.end());
  BOOST_TEST(heard == (std::vector<double>{0, 0, 1, 1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()
