// The minimal archetype of each policy concept: what the concept asks for, and nothing else, makes a model.

#include "demix/model/concepts.hpp"
#include "device/archetype.hpp"
#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

/// What every archetype layer has: no parameters, nothing saved.
struct LayerWithoutParameters {
  struct Saved {
    template <class D>
    explicit Saved(D&) {}
  };
  LayerWithoutParameters(ParameterLayout&, const std::string&, const ModelConfig&) {}
};

/// Of an attention, and the feed-forward layer a user might write first.
struct Identity {
  static constexpr bool has_experts = false;
  template <device::Device D, Precision P>
  struct Layer : LayerWithoutParameters {
    using LayerWithoutParameters::LayerWithoutParameters;
    using T = compute_t<P>;
    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved&) const {
      pass.device.copy(y.data, x.data, x.size());
    }
    void backward(const BackwardPass<D, P>& pass, Matrix<const T>, Matrix<const T> dy, Matrix<T> dx,
                  Saved&) const {
      pass.device.copy(dx.data, dy.data, dy.size());
    }
  };
};
struct IdentityAttention : Identity {};
struct IdentityFFN : Identity {};

struct IdentityNorm {
  template <device::Device D, Precision P>
  struct Layer : LayerWithoutParameters {
    using LayerWithoutParameters::LayerWithoutParameters;
    using T = compute_t<P>;
    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved&) const {
      pass.device.copy(y.data, x.data, x.size());
    }
    void backward_accumulate(const BackwardPass<D, P>& pass, Matrix<const T>, Matrix<const T> dy,
                             Matrix<T> dx, Saved&) const {
      ops::dropout_residual(pass.device, dy, dx, {}, dx);
    }
  };
};

struct PlainInput {
  static constexpr std::size_t prefix_length = 0;
  static std::size_t extra_tokens(std::size_t) { return 0; }
  static Batch apply(const Batch& batch, std::size_t) { return batch; }
};

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
