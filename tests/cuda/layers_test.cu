// Layers of a model, parameters and the optimizer on device::Cuda against the same on device::Cpu: the code
// above the devices does not know which one it has.
#include "demix/device/cuda.cuh"
#include "demix/model/embedding.hpp"
#include "demix/model/feed_forward.hpp"
#include "demix/model/layer_norm.hpp"
#include "demix/optim/adam.hpp"
#include "demix/optim/gradient_norm.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

ModelConfig small_config() {
  ModelConfig config;
  config.d_model = 20;
  config.d_ffn = 37;
  config.heads = 2;
  config.vocabulary = 11;
  config.tokens_per_sample = 4;
  config.positions = Positions::learned;
  return config;
}

constexpr std::size_t domains = 2, rows = 8;
const std::vector<Segment> segments{{DomainId{0}, 0, 3}, {DomainId{1}, 3, rows}};

/// Parameters and their gradients on a device, as a model holds them, with what the optimizer asks of it.
template <class D>
struct Parameters {
  using Arena = ParameterArena<D, float>;

  D& target;
  ParameterLayout layout;
  Arena parameters, gradients;

  Parameters(D& device, const ParameterLayout& layout_)
      : target(device),
        layout(layout_),
        parameters(device, layout, domains),
        gradients(device, layout, domains) {
    initialize(device, layout, Seed{3}, parameters);
  }

  D& device() { return target; }
  Arena& values() { return parameters; }
  Arena make_arena() { return Arena(target, layout, domains); }

  /// Every region of the arena on the host.
  std::vector<float> to_host(const Arena& arena) {
    std::vector<float> all;
    for (std::size_t r = 0; r < arena.regions(); ++r) {
      std::vector<float> region(arena.region(r).size());
      target.copy_to_host(region.data(), arena.region(r).data(), region.size());
      all.insert(all.end(), region.begin(), region.end());
    }
    return all;
  }
};

using Results = std::vector<std::vector<float>>;

/// Forward and backward of a feed-forward policy: y, dx, and the gradients of all regions.
template <class Policy, class D>
Results feed_forward_results(D& device) {
  using Layer = typename Policy::template Layer<D, Fp32>;
  const ModelConfig config = small_config();
  ParameterLayout layout;
  const Layer layer(layout, "decoder.layers.0", config);
  Parameters<D> p(device, layout);
  typename Layer::Activations saved(device);
  Workspace<D, float> workspace(device);
  device::Array<D, float> x(device), dy(device), y(device), dx(device);
  x.assign(cast<float>(random_values(rows * config.d_model, 1)));
  dy.assign(cast<float>(random_values(rows * config.d_model, 2)));
  const Matrix<float> in = x.matrix(rows, config.d_model);
  layer.forward(device, p.parameters, segments, in, y.matrix(rows, config.d_model), saved, workspace);
  layer.backward(device, p.parameters, p.gradients, segments, in, dy.matrix(rows, config.d_model),
                 dx.matrix(rows, config.d_model), saved, workspace);
  return {y.to_host(), dx.to_host(), p.to_host(p.gradients)};
}

/// The input embedding with dropout, then a layer norm, and back; then the gradient norms and two updates of
/// Adam.
template <class D>
Results embedding_norm_and_adam_results(D& device) {
  const ModelConfig config = small_config();
  ParameterLayout layout;
  const InputEmbedding<D, Fp32> embedding(device, layout, config);
  const LayerNorm::Layer<D, Fp32> norm(layout, "decoder.layer_norm", config);
  const feed_forward::Refs experts(layout.expert, "decoder.layers.0", config);
  Parameters<D> p(device, layout);
  typename LayerNorm::Layer<D, Fp32>::Activations saved(device);
  Workspace<D, float> workspace(device);
  const std::vector<Token> tokens{2, 5, 5, 10, 2, 1, 7, 5};
  device::Array<D, Token> device_tokens(device);
  device_tokens.assign(tokens);
  ops::TokenGroups<D> groups(device);
  groups.assign(tokens);
  device::Array<D, float> x(device), y(device), dy(device), dx(device), scratch(device);
  const Matrix<float> x_view = x.matrix(rows, config.d_model), dx_view = dx.matrix(rows, config.d_model);
  dy.assign(cast<float>(random_values(rows * config.d_model, 4)));
  dx.fill_zero();
  const ops::Dropout dropout{0.2f, Seed{9}, 1, 0};
  embedding.forward(device, p.parameters, device_tokens.data(), config.tokens_per_sample, dropout, x_view);
  norm.forward(device, p.parameters, x_view, y.matrix(rows, config.d_model), saved);
  norm.backward_accumulate(device, p.parameters, p.gradients, x_view, dy.matrix(rows, config.d_model),
                           dx_view, saved, workspace);
  embedding.backward(device, p.gradients, groups, config.tokens_per_sample, dropout, dx_view);

  std::vector<float> squares;
  for (const double square : optim::region_square_norms(device, p.gradients, scratch))
    squares.push_back(static_cast<float>(square));
  optim::Adam<Parameters<D>> adam(p, optim::AdamSettings{});
  for (const std::uint64_t update : {1, 2}) adam.step(p, p.gradients, update, 5e-4, 0.5);
  return {x.to_host(),
          y.to_host(),
          dx.to_host(),
          p.to_host(p.gradients),
          squares,
          p.to_host(p.parameters),
          p.to_host(adam.first_moment()),
          p.to_host(adam.second_moment())};
}

void check_same(const Results& cuda, const Results& cpu) {
  BOOST_REQUIRE(cuda.size() == cpu.size());
  for (std::size_t i = 0; i < cpu.size(); ++i) {
    const double error = relative_error(cuda[i], cpu[i]);
    BOOST_TEST(error <= Tolerance<float>::model_loss,
               "result " << i << ": CUDA differs from the CPU by " << error);
  }
}

template <class Policy>
void check_feed_forward() {
  device::Cpu cpu;
  device::Cuda cuda;
  const auto expected = feed_forward_results<Policy>(cpu);
  check_same(feed_forward_results<Policy>(cuda), expected);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_layers)

BOOST_AUTO_TEST_CASE(demix_feed_forward) { check_feed_forward<DEMixFFN<ops::Gelu>>(); }
BOOST_AUTO_TEST_CASE(dense_feed_forward) { check_feed_forward<DenseFFN<ops::Relu>>(); }

BOOST_AUTO_TEST_CASE(embedding_norm_and_adam) {
  device::Cpu cpu;
  device::Cuda cuda;
  check_same(embedding_norm_and_adam_results(cuda), embedding_norm_and_adam_results(cpu));
}

BOOST_AUTO_TEST_SUITE_END()
