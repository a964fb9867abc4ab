// Whole models on device::Cuda against the same on device::Cpu: training with clipping and Adam, scoring, and
// reading with a cache. The code above the devices does not know which one it has.
#include "demix/model/experiments.hpp"
// After the models, on purpose: a device's attention is found by its type, not by the order of includes.
#include "demix/ops/attention.cuh"
#include "demix/optim/adam.hpp"
#include "demix/optim/gradient_norm.hpp"
#include "model/model_testing.hpp"
#include "policies/rms_norm.hpp"
#include "policies/rotary_attention.hpp"
#include "policies/token_routed_ffn.hpp"

using namespace demix;
using namespace demix::testing;

static_assert(AttentionPolicy<CausalAttention, device::Cuda, Fp32> &&
              IncrementalAttentionPolicy<CausalAttention, device::Cuda, Fp32>);

namespace {

/// A model of the worked examples' policies.
template <class D, class P, class A>
using WorkedExamples = LanguageModel<D, P, policies::RotaryAttention, policies::RMSNorm,
                                     policies::TokenRoutedFFN<A, 4>, DomainToken>;

using Results = std::vector<std::vector<double>>;

std::vector<double> doubles(const auto& values) { return {values.begin(), values.end()}; }

/// Every region of an arena on the host.
template <class D, class T>
std::vector<double> on_host(D& device, const ParameterArena<D, T>& arena) {
  std::vector<double> all;
  for (const RegionId r : arena.regions()) {
    std::vector<T> region(arena.region(r).size());
    device.copy_to_host(region.data(), arena.region(r).data(), region.size());
    all.insert(all.end(), region.begin(), region.end());
  }
  return all;
}

ModelConfig config_of(Positions positions, bool tied) {
  ModelConfig config = tiny_config(positions, tied);
  config.d_model = 20;
  config.d_ffn = 37;
  return config;
}

/// Three updates: losses by domain, the gradient of the last, its norm, and the weights.
template <class Model, class D>
Results train(D& device, Positions positions, bool tied) {
  Model model(device, config_of(positions, tied), three_domains, Seed{3});
  auto gradients = model.make_gradients();
  LossTotals<D> totals(device, 3);
  device::Array<D, float> scratch(device);
  device::Array<D, double> numbers(device, 3 + 4 + 1);  // tokens, squares, scale
  optim::OptimizerState<D, Fp32, optim::Adam> adam(device, {}, optim::whole_regions(gradients));
  Results results;
  for (std::uint64_t update = 1; update <= 3; ++update) {
    gradients.fill_zero();
    totals.clear();
    for (std::uint32_t micro = 0; micro < 2; ++micro) {
      const auto step = static_cast<std::uint32_t>(2 * update + micro);
      model.accumulate_gradients(tiny_batch(step), {0.2f, Seed{9}, step}, gradients, totals);
    }
    std::vector<double> zeros(8, 0.0);
    std::copy(totals.tokens().begin(), totals.tokens().end(), zeros.begin());
    numbers.assign(zeros);
    double *tokens = numbers.data(), *squares = tokens + 3, *scale = squares + 4;
    optim::accumulate_square_norms(device, gradients, adam.trained(), scratch, squares);
    optim::clip_scale(device, tokens, 3, squares, 4, 0.1, scale);
    adam.step(model.weights(), gradients, {update, 5e-4, scale});
    std::vector<double> losses(3);
    device.copy_to_host(losses.data(), totals.losses(), 3);
    results.push_back(losses);
    results.push_back(numbers.to_host());
  }
  results.push_back(on_host(device, gradients));
  results.push_back(on_host(device, model.weights().master()));
  return results;
}

/// Losses at once and from a cache, logits, and the next ones.
template <class Model, class D>
Results score(D& device) {
  Model model(device, config_of(Positions::learned, true), three_domains, Seed{3});
  Batch whole = random_batch(5, {{0, 1}, {2, 2}}, 5);
  for (Token& token : whole.source)
    if (token == pad_token) token = 7;
  const auto slice = [&](std::size_t first, std::size_t last) {
    Batch part{last - first, {}, {}, whole.segments};
    for (std::size_t b = 0; b < 3; ++b)
      for (std::size_t t = first; t < last; ++t) {
        part.source.push_back(whole.source[b * 5 + t]);
        part.target.push_back(whole.target[b * 5 + t]);
      }
    return part;
  };
  auto cache = model.make_cache(3);
  Results results{doubles(model.token_losses(whole)), doubles(model.logits(whole)),
                  doubles(model.token_losses(slice(0, 2), cache)),
                  doubles(model.next_logits(slice(2, 4), cache))};
  const std::vector<std::size_t> kept{2, 0, 2};
  cache.keep(kept);
  results.push_back(doubles(model.next_logits(slice(4, 5), cache)));
  return results;
}

void check_same(const Results& cuda, const Results& cpu) {
  BOOST_REQUIRE(cuda.size() == cpu.size());
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    const double error = relative_error(cuda[i], cpu[i]);
    BOOST_TEST(error <= Tolerance<float>::model_gradient,
               "result " << i << ": CUDA differs from the CPU by " << error);
  }
}

template <template <class, class, class> class Model>
void check_training(Positions positions, bool tied) {
  device::Cpu cpu(1);
  device::Cuda cuda;
  check_same(train<Model<device::Cuda, Fp32, ops::Gelu>>(cuda, positions, tied),
             train<Model<device::Cpu, Fp32, ops::Gelu>>(cpu, positions, tied));
}

template <template <class, class, class> class Model>
void check_scoring() {
  device::Cpu cpu(1);
  device::Cuda cuda;
  check_same(score<Model<device::Cuda, Fp32, ops::Gelu>>(cuda),
             score<Model<device::Cpu, Fp32, ops::Gelu>>(cpu));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_models)

BOOST_AUTO_TEST_CASE(dense_training) { check_training<DenseModel>(Positions::sinusoidal, false); }
BOOST_AUTO_TEST_CASE(domain_token_training) { check_training<DomainTokenModel>(Positions::learned, true); }
BOOST_AUTO_TEST_CASE(demix_training) { check_training<DEMixModel>(Positions::learned, false); }
BOOST_AUTO_TEST_CASE(worked_examples_training) { check_training<WorkedExamples>(Positions::none, true); }
BOOST_AUTO_TEST_CASE(domain_token_scoring) { check_scoring<DomainTokenModel>(); }
BOOST_AUTO_TEST_CASE(demix_scoring) { check_scoring<DEMixModel>(); }
BOOST_AUTO_TEST_CASE(worked_examples_scoring) { check_scoring<WorkedExamples>(); }

BOOST_AUTO_TEST_SUITE_END()
