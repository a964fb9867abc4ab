#include "demix/train/gradient_sync.hpp"

#include "train/rank_runs.hpp"

using namespace demix;
using namespace demix::test;

BOOST_AUTO_TEST_SUITE(gradient_sync)

// Small integers, so that sums are exact: rank r has 10 r + its region's number everywhere.
BOOST_AUTO_TEST_CASE(shared_gradients_are_summed_over_all_ranks_and_experts_over_their_holders) {
  const std::vector<std::string> two{"a", "b"};
  for (const int ranks : {1, 2, 4, 6})
    ThreadComm::run(ranks, [&](ThreadComm comm) {
      const int rank = comm.rank();
      const auto placement = comm::Placement::by_domain(rank, ranks, two.size());
      device::Cpu device(1);
      Experts model(device, small_config(), two, placement.held_experts());
      auto gradients = model.make_gradients();
      for (const RegionId r : gradients.regions())
        for (float& x : gradients.region(r))
          x = static_cast<float>(10 * rank + (r.is_shared() ? 0 : 1 + static_cast<int>(index(r.expert()))));
      train::GradientSync<ThreadComm> sync(std::move(comm), placement, model.layout(), 50);
      sync.begin();
      const std::size_t n = gradients.region(RegionId::shared()).size(),
                        e = gradients.region(placement.held_experts().list().front()).size();
      // Ranks may hear of it in steps of their own.
      for (int step = 1; step <= rank % 3; ++step)
        sync.sum_from(gradients, n - n * static_cast<std::size_t>(step) / 3,
                      e - e * static_cast<std::size_t>(step) / 3);
      sync.finish(gradients);
      for (const RegionId r : gradients.regions()) {
        float expected = 0;
        for (int other = 0; other < ranks; ++other) {
          const auto there = comm::Placement::by_domain(other, ranks, two.size());
          if (r.is_shared())
            expected += static_cast<float>(10 * other);
          else if (there.held_experts().contains(r.expert()))
            expected += static_cast<float>(10 * other + 1 + static_cast<int>(index(r.expert())));
        }
        for (const float x : gradients.region(r))
          require(x == expected, "found ", x, ", expected ", expected);
      }
      std::vector<double> numbers{1.0, static_cast<double>(rank)};
      sync.all_reduce(std::span<double>(numbers));
      require(numbers[0] == ranks && numbers[1] == ranks * (ranks - 1) / 2, "sums of numbers");
    });
}

BOOST_AUTO_TEST_CASE(a_placement_of_another_rank_is_refused) {
  const auto made = [](const comm::Placement& placement) {
    return error_of([&] { train::GradientSync<comm::Self>(comm::Self(), placement, ParameterLayout()); });
  };
  BOOST_TEST(made(comm::Placement::whole(2)) == "no error");
  BOOST_TEST(mentions(made(comm::Placement::by_sequence(1, 2, 2)), {"rank 1 of 2 on rank 0 of 1"}));
  BOOST_TEST(mentions(made(comm::Placement::by_sequence(0, 2, 2)), {"rank 0 of 2 on rank 0 of 1"}));
}

BOOST_AUTO_TEST_SUITE_END()
