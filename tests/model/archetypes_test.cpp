// The minimal archetype of each policy concept: what the concept asks for, and nothing else, makes a model.

#include "demix/model/concepts.hpp"
#include "device/archetype.hpp"
#include "model/archetype.hpp"
#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

struct MinimalPrecision {
  using compute_type = double;
  using master_type = double;
  static constexpr const char* name = "minimal";
};

static_assert(Precision<MinimalPrecision>);
static_assert(AttentionPolicy<IdentityAttention, MinimalDevice, MinimalPrecision>);
static_assert(NormPolicy<IdentityNorm, MinimalDevice, MinimalPrecision>);
static_assert(FeedForwardPolicy<IdentityFFN, MinimalDevice, MinimalPrecision>);
static_assert(ConditioningPolicy<PlainInput>);
static_assert(!IncrementalAttentionPolicy<IdentityAttention, MinimalDevice, MinimalPrecision>);
static_assert(IncrementalAttentionPolicy<CausalAttention, device::Cpu, Fp32>);
// The concepts tell the axes apart: nothing passes for what it is not.
static_assert(!NormPolicy<IdentityFFN, MinimalDevice, MinimalPrecision>);
static_assert(!FeedForwardPolicy<IdentityNorm, MinimalDevice, MinimalPrecision>);
static_assert(!ConditioningPolicy<MinimalPrecision>);
static_assert(AttentionPolicy<CausalAttention, device::Cpu, Fp32> &&
              NormPolicy<LayerNorm, device::Cpu, Fp32>);
static_assert(FeedForwardPolicy<DenseFFN<ops::Relu>, device::Cpu, Fp32>);
static_assert(FeedForwardPolicy<DEMixFFN<ops::Relu>, device::Cpu, Fp32>);
static_assert(ConditioningPolicy<NoConditioning> && ConditioningPolicy<DomainToken>);

}  // namespace

BOOST_AUTO_TEST_SUITE(archetypes)

BOOST_AUTO_TEST_CASE(a_model_of_archetypes_alone) {
  MinimalDevice device;
  LanguageModel<MinimalDevice, MinimalPrecision, IdentityAttention, IdentityNorm, IdentityFFN, PlainInput>
      model(device, tiny_config(), three_domains, Seed{1});
  BOOST_TEST(check_gradients(model, tiny_batch()).passed());
}

BOOST_AUTO_TEST_CASE(a_user_written_feed_forward_layer_trains) {
  device::Cpu cpu(1);
  LanguageModel<device::Cpu, Fp64, CausalAttention, LayerNorm, IdentityFFN, NoConditioning> model(
      cpu, tiny_config(), three_domains, Seed{1});
  BOOST_TEST(check_gradients(model, tiny_batch()).passed());
  const double start = descend(model, tiny_batch(), 0.3);
  double loss = start;
  for (int step = 0; step < 60; ++step) loss = descend(model, tiny_batch(), 0.3);
  BOOST_TEST(loss < 0.5 * start);
}

BOOST_AUTO_TEST_CASE(a_minimal_device_agrees_with_the_cpu) {
  MinimalDevice minimal;
  device::Cpu cpu;
  LanguageModel<MinimalDevice, Fp32, IdentityAttention, LayerNorm, DEMixFFN<ops::Relu>, DomainToken> a(
      minimal, tiny_config(), three_domains, Seed{1});
  LanguageModel<device::Cpu, Fp32, IdentityAttention, LayerNorm, DEMixFFN<ops::Relu>, DomainToken> b(
      cpu, tiny_config(), three_domains, Seed{1});
  perturb(a);
  perturb(b);
  auto ga = a.make_gradients();
  auto gb = b.make_gradients();
  DEMIX_CHECK_CLOSE(a.accumulate_gradients(tiny_batch(), {}, ga),
                    b.accumulate_gradients(tiny_batch(), {}, gb), Tolerance<float>::model_loss);
  DEMIX_CHECK_CLOSE(all_values(ga), all_values(gb), Tolerance<float>::model_gradient);
}

BOOST_AUTO_TEST_SUITE_END()
