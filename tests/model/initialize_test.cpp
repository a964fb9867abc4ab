#include "demix/model/initialize.hpp"

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

using Demix = DEMixModel<device::Cpu, Fp32, ops::Relu>;

std::pair<double, double> mean_and_deviation(std::span<const float> values) {
  double sum = 0, squares = 0;
  for (const float v : values) sum += v, squares += static_cast<double>(v) * v;
  const double n = static_cast<double>(values.size()), mean = sum / n;
  return {mean, std::sqrt(squares / n - mean * mean)};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(initialize_parameters)

BOOST_AUTO_TEST_CASE(starting_values_follow_the_recipe) {
  device::Cpu cpu;
  ModelConfig config = tiny_config(Positions::learned, false);
  config.d_model = 64;
  config.d_ffn = 96;
  config.vocabulary = 1000;
  const Demix model(cpu, config, three_domains, Seed{1});
  const auto& values = model.weights().master();

  const auto tokens = find(model, values, "decoder.embed_tokens.weight");
  for (std::size_t c = 0; c < 64; ++c) BOOST_TEST(tokens[pad_token * 64 + c] == 0.0f);
  const auto [mean, deviation] = mean_and_deviation(tokens.subspan(2 * 64));
  BOOST_TEST(std::fabs(mean) < 0.002);
  BOOST_TEST(deviation == 0.125, boost::test_tools::tolerance(0.02));

  const std::string layer = "decoder.layers.1.";
  const auto check_uniform = [](std::span<const float> w, double bound) {
    const auto [low, high] = std::minmax_element(w.begin(), w.end());
    BOOST_TEST(static_cast<double>(*high) <= bound);
    BOOST_TEST(static_cast<double>(*low) >= -bound);
    BOOST_TEST(mean_and_deviation(w).second == bound / std::sqrt(3.0), boost::test_tools::tolerance(0.05));
  };
  check_uniform(find(model, values, layer + "self_attn.q_proj.weight"), std::sqrt(0.5 * 6 / 128.0));
  check_uniform(find(model, values, layer + "self_attn.v_proj.weight"), std::sqrt(0.5 * 6 / 128.0));
  check_uniform(find(model, values, layer + "self_attn.out_proj.weight"), std::sqrt(6 / 128.0));
  check_uniform(find(model, values, layer + "fc1.weight", ExpertId{1}), std::sqrt(6 / 160.0));
  check_uniform(find(model, values, layer + "fc2.weight", ExpertId{2}), std::sqrt(6 / 160.0));
  for (const char* bias : {"self_attn.q_proj.bias", "self_attn.out_proj.bias", "final_layer_norm.bias"})
    for (const float b : find(model, values, layer + bias)) BOOST_TEST(b == 0.0f);
  for (const char* gain : {"decoder.layer_norm.weight", "decoder.layers.0.self_attn_layer_norm.weight"})
    for (const float g : find(model, values, gain)) BOOST_TEST(g == 1.0f);
}

BOOST_AUTO_TEST_CASE(experts_start_alike_and_like_a_dense_model) {
  device::Cpu cpu;
  const Demix model(cpu, tiny_config(), three_domains, Seed{1});
  const DenseModel<device::Cpu, Fp32, ops::Relu> dense(cpu, tiny_config(), three_domains, Seed{1});
  for (const ExpertId r : model.weights().held().list())
    for (const auto& parameter : parameters(model, r)) {
      const auto expert = span_of(model.weights().master(), r, parameter),
                 like = find(dense, dense.weights().master(), parameter.name);
      BOOST_TEST(std::equal(expert.begin(), expert.end(), like.begin(), like.end()), parameter.name);
    }
}

BOOST_AUTO_TEST_CASE(seeds_layers_and_names_give_different_values) {
  device::Cpu cpu;
  const Demix one(cpu, tiny_config(), three_domains, Seed{1}),
      again(cpu, tiny_config(), three_domains, Seed{1}), two(cpu, tiny_config(), three_domains, Seed{2});
  BOOST_TEST((all_values(one.weights().master()) == all_values(again.weights().master())));
  BOOST_TEST((all_values(one.weights().master()) != all_values(two.weights().master())));
  const auto q0 = find(one, one.weights().master(), "decoder.layers.0.self_attn.q_proj.weight"),
             k0 = find(one, one.weights().master(), "decoder.layers.0.self_attn.k_proj.weight"),
             q1 = find(one, one.weights().master(), "decoder.layers.1.self_attn.q_proj.weight");
  BOOST_TEST(!std::equal(q0.begin(), q0.end(), k0.begin()));
  BOOST_TEST(!std::equal(q0.begin(), q0.end(), q1.begin()));
}

BOOST_AUTO_TEST_CASE(a_value_depends_on_seed_name_and_place_alone) {
  const auto values_of = [](const std::string& name, std::size_t rows, int threads, std::size_t before) {
    const Threads guard(threads);
    ParameterLayout layout;
    if (before > 0) layout.shared.matrix("before", before, 3, Initializer::normal(1));
    layout.shared.matrix(name, rows, 5, Initializer::normal(2));
    const auto& parameter = layout.shared.parameters().back();
    device::Cpu cpu;
    Weights<device::Cpu, Fp64> weights(cpu, layout, HeldExperts(0));
    initialize(cpu, layout, Seed{9}, weights);
    const auto values = span_of(weights.master(), RegionId::shared(), parameter);
    return std::vector<double>(values.begin(), values.end());
  };
  const auto a = values_of("a", 40, 1, 0);
  BOOST_TEST(a == values_of("a", 40, 3, 7), boost::test_tools::per_element());
  auto front = values_of("a", 41, 1, 0);  // another shape scales a normal matrix not at all
  front.resize(a.size());
  BOOST_TEST(a == front, boost::test_tools::per_element());
  BOOST_TEST((a != values_of("b", 40, 1, 0)));
}

BOOST_AUTO_TEST_CASE(experts_that_are_held_start_as_they_do_where_all_are) {
  device::Cpu cpu;
  const Demix model(cpu, tiny_config(), three_domains, Seed{1});
  Weights<device::Cpu, Fp32> some(cpu, model.layout(), HeldExperts(3, {ExpertId{2}}));
  initialize(cpu, model.layout(), Seed{1}, some);
  for (const RegionId r : some.regions()) {
    const std::span<const float> here = some.master().region(r), there = model.weights().master().region(r);
    BOOST_TEST(std::equal(here.begin(), here.end(), there.begin(), there.end()),
               (r.is_shared() ? "shared" : "expert"));
  }
}

BOOST_AUTO_TEST_SUITE_END()
