#include <set>

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

BOOST_AUTO_TEST_SUITE(model_parameters)

BOOST_AUTO_TEST_CASE(names_are_unique_and_nothing_overlaps) {
  device::Cpu cpu;
  const Demix model(cpu, tiny_config(Positions::learned, false), three_domains, Seed{1});
  for (const auto* region : {&model.layout().shared, &model.layout().expert}) {
    std::set<std::string> names;
    std::size_t end = 0;
    for (const auto& parameter : region->parameters()) {
      BOOST_TEST(names.insert(parameter.name).second, parameter.name << " is there twice");
      BOOST_TEST(parameter.offset >= end);
      end = parameter.offset + parameter.size();
    }
    BOOST_TEST(end <= region->size());
  }
  BOOST_TEST(model.layout().expert.parameters().size() == 2u * 4u);
  BOOST_TEST(model.weights().master().regions().size() == 4u);
  BOOST_TEST(model.weights().master().size() ==
             model.layout().shared.size() + 3 * model.layout().expert.size());
}

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

BOOST_AUTO_TEST_CASE(sinusoids) {
  const auto table = sinusoidal_positions<double>(3, 4);  // rows 0 .. 4, frequencies 1 and 1 / 10000
  BOOST_TEST(table.size() == 20u);
  for (std::size_t c = 0; c < 4; ++c) BOOST_TEST(table[pad_token * 4 + c] == 0.0);
  const std::vector<double> row2{std::sin(2.0), std::sin(2e-4), std::cos(2.0), std::cos(2e-4)};
  DEMIX_CHECK_CLOSE((std::vector<double>(table.begin() + 8, table.begin() + 12)), row2, 1e-12);
}

BOOST_AUTO_TEST_CASE(a_layout_that_is_no_models_is_refused) {
  const auto error_of = [](bool has_experts, auto declare) -> std::string {
    ParameterLayout layout;
    layout.shared.vector("a", 3, Initializer::zeros());
    declare(layout);
    try {
      validate(layout, has_experts);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const auto mentions = [](const std::string& text, const char* word) {
    BOOST_TEST(text.find(word) != std::string::npos, "'" << text << "' does not mention " << word);
  };
  const auto named = [](const std::string& name) {
    return [name](ParameterLayout& layout) { layout.shared.matrix(name, 2, 2, Initializer::zeros()); };
  };
  const auto expert = [](ParameterLayout& layout) { layout.expert.vector("b", 3, Initializer::zeros()); };
  const auto nothing = [](ParameterLayout&) {};
  BOOST_TEST(error_of(false, nothing) == "");
  BOOST_TEST(error_of(true, expert) == "");
  BOOST_TEST(error_of(false, named("decoder.layers.0.fc1.weight")) == "");
  mentions(error_of(false, expert), "'b' first: they would never be saved");
  mentions(error_of(true, nothing), "no parameter is declared in layout.expert");
  mentions(error_of(false, named("a")), "two parameters are called 'a'");
  mentions(
      error_of(true, [](ParameterLayout& layout) { layout.expert.vector("a", 3, Initializer::zeros()); }),
      "two parameters are called 'a'");
  for (const std::string& name :
       {std::string(), std::string("."), std::string("b/c"), std::string("b\0c", 3)})
    mentions(error_of(false, named(name)), "cannot be that of a dataset");
  mentions(
      error_of(false, [](ParameterLayout& layout) { layout.shared.matrix("b", 0, 5, Initializer::zeros()); }),
      "'b' is empty: [0, 5]");
}

BOOST_AUTO_TEST_SUITE_END()
