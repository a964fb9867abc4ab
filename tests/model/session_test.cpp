#include "demix/model/session.hpp"

#include <thread>

#include "device/counting.hpp"
#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

using Network = DEMixModel<device::Cpu, Fp32, ops::Gelu>::Network;
using Counted = DEMixModel<CountingDevice, Fp32, ops::Gelu>::Network;

}  // namespace

BOOST_AUTO_TEST_SUITE(session)

BOOST_AUTO_TEST_CASE(two_threads_score_different_text_over_one_set_of_weights) {
  device::Cpu loader;
  const Network network(loader, tiny_config(), three_domains);
  Weights<device::Cpu, Fp32> weights(loader, network.layout(), HeldExperts(network.experts()));
  initialize(loader, network.layout(), Seed{3}, weights);

  std::vector<Batch> texts;
  for (std::uint64_t i = 0; i < 40; ++i)
    texts.push_back(random_batch(5, {{static_cast<int>(i % 3), 1 + i % 4}}, 100 + i));
  std::vector<std::vector<float>> expected(texts.size()), found(texts.size());
  device::Cpu one(1);
  Session<Network> alone(one, network, weights);
  for (std::size_t i = 0; i < texts.size(); ++i) expected[i] = alone.token_losses(texts[i]);
  const auto score = [&](std::size_t parity) {
    device::Cpu own(1);
    Session<Network> session(own, network, weights);
    for (std::size_t i = parity; i < texts.size(); i += 2) found[i] = session.token_losses(texts[i]);
  };
  std::thread first(score, 0), second(score, 1);
  first.join();
  second.join();
  BOOST_TEST((found == expected));
}

BOOST_AUTO_TEST_CASE(another_session_takes_memory_for_its_buffers_alone) {
  CountingDevice device;
  const Counted network(device, tiny_config(), three_domains);
  Weights<CountingDevice, Fp32> weights(device, network.layout(), HeldExperts(network.experts()));
  initialize(device, network.layout(), Seed{3}, weights);
  const std::size_t with_weights = device.bytes;
  Session<Counted> first(device, network, weights);
  first.token_losses(tiny_batch());
  const std::size_t of_session = device.bytes - with_weights;
  BOOST_TEST(of_session > 0u);
  Session<Counted> second(device, network, weights);
  second.token_losses(tiny_batch());
  BOOST_TEST(device.bytes - with_weights == 2 * of_session);
}

BOOST_AUTO_TEST_CASE(totals_are_the_sums_of_the_losses_by_domain) {
  device::Cpu cpu;
  DomainTokenModel<device::Cpu, Fp64, ops::Gelu> model(cpu, tiny_config(), three_domains, Seed{3});
  auto gradients = model.make_gradients(), again = model.make_gradients();
  LossTotals<device::Cpu> totals(cpu, 3);
  const Batch a = tiny_batch(5), b = tiny_batch(6);
  std::vector<double> expected(3), tokens(3);
  for (const Batch* batch : {&a, &b}) {
    model.accumulate_gradients(*batch, {}, gradients, totals);
    const auto losses = model.accumulate_gradients(*batch, {}, again);
    for (const auto& segment : batch->segments)
      for (std::size_t r = segment.first * 5; r < segment.last * 5; ++r) {
        expected[index(segment.domain)] += losses[r];
        tokens[index(segment.domain)] += batch->target[r] != pad_token;
      }
  }
  DEMIX_CHECK_CLOSE((std::vector<double>(totals.losses(), totals.losses() + 3)), expected, 1e-14);
  BOOST_TEST(totals.tokens() == tokens, boost::test_tools::per_element());
  BOOST_TEST(*totals.added() == 0.0);
  BOOST_TEST((all_values(gradients) == all_values(again)));
  totals.clear();
  BOOST_TEST(totals.losses()[0] == 0.0);
  BOOST_TEST(totals.tokens()[0] == 0.0);
}

BOOST_AUTO_TEST_CASE(text_of_an_expert_that_is_not_held_is_an_error) {
  device::Cpu cpu;
  DEMixModel<device::Cpu, Fp32, ops::Gelu> model(cpu, tiny_config(), three_domains,
                                                 HeldExperts(3, {ExpertId{0}, ExpertId{2}}));
  BOOST_TEST(model.token_losses(tiny_batch()).size() == 15u);
  BOOST_CHECK_THROW(model.token_losses(random_batch(5, {{1, 1}}, 5)), Error);
}

BOOST_AUTO_TEST_SUITE_END()
