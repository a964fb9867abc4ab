#include "demix/model/initialize.hpp"

#include "model/initial_values.hpp"
#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

using Demix = DEMixModel<device::Cpu, Fp32, ops::Relu>;

/// The starting values of a decoder with C = 64, F = 256. fairseq's: weights and biases of linear layers
/// start as PyTorch's do, but for attention's weights, which are Xavier's (gain 1 / sqrt(2) for q, k, v), and
/// its output's bias. xavier: all weights are Xavier's, all biases 0.
void check_starting_values(InitialValues initial) {
  const bool fairseq = initial == InitialValues::fairseq;
  device::Cpu cpu;
  ModelConfig config = tiny_config(Positions::learned, false);
  config.d_model = 64;
  config.d_ffn = 256;
  config.vocabulary = 1000;
  config.tokens_per_sample = 50;
  Demix model(cpu, config, three_domains, Seed{1});
  if (fairseq) initialize(cpu, model.layout(), Seed{1}, model.weights(), initial);
  const auto& values = model.weights().master();
  const auto check_linear = [&](const std::string& name, const auto& weight, const auto& bias, double inputs,
                                double outputs) {
    check_uniform(name, weight, fairseq ? 1 / std::sqrt(inputs) : std::sqrt(6 / (inputs + outputs)));
    if (fairseq)
      check_uniform(name + ".bias", bias, 1 / std::sqrt(inputs));
    else
      check_constant(name + ".bias", bias, 0);
  };
  std::size_t seen = 0;
  const auto named = [&](const std::string& name, RegionId r = RegionId::shared()) {
    ++seen;
    return find(model, values, name, r);
  };

  for (const std::string name : {"decoder.embed_tokens.weight", "decoder.embed_positions.weight"}) {
    const auto table = named(name);
    check_constant(name + " of padding", table.subspan(pad_token * 64, 64), 0);
    check_moments(name, table.subspan((pad_token + 1) * 64), 0.125, 3);
    check_moments(name + " of token 0", table.first(64), 0.125, 3);
  }
  check_moments("output", named("decoder.output_projection.weight"), 0.125, 3);
  check_constant("final norm", named("decoder.layer_norm.weight"), 1);
  check_constant("final norm", named("decoder.layer_norm.bias"), 0);
  for (const std::string layer : {"decoder.layers.0.", "decoder.layers.1."}) {
    for (const std::string part : {"q_proj", "k_proj", "v_proj"}) {
      const auto name = layer + "self_attn." + part;
      check_uniform(name, named(name + ".weight"), std::sqrt(0.5 * 6 / 128));
      if (fairseq)
        check_uniform(name + ".bias", named(name + ".bias"), 1 / std::sqrt(64.0));
      else
        check_constant(name + ".bias", named(name + ".bias"), 0);
    }
    check_uniform("out_proj", named(layer + "self_attn.out_proj.weight"), std::sqrt(6 / 128.0));
    check_constant("out_proj", named(layer + "self_attn.out_proj.bias"), 0);
    for (const char* norm : {"self_attn_layer_norm", "final_layer_norm"}) {
      check_constant(norm, named(layer + norm + ".weight"), 1);
      check_constant(norm, named(layer + norm + ".bias"), 0);
    }
    check_linear("fc1", named(layer + "fc1.weight", ExpertId{1}), named(layer + "fc1.bias", ExpertId{1}), 64,
                 256);
    check_linear("fc2", named(layer + "fc2.weight", ExpertId{2}), named(layer + "fc2.bias", ExpertId{2}), 256,
                 64);
  }
  BOOST_TEST(seen == model.layout().shared.parameters().size() + model.layout().expert.parameters().size());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(initialize_parameters)

BOOST_AUTO_TEST_CASE(starting_values_follow_the_recipe) {
  check_starting_values(InitialValues::fairseq);
  check_starting_values(InitialValues::xavier);
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

BOOST_AUTO_TEST_CASE(any_number_of_threads_makes_the_same_values) {
  device::Cpu one(1);
  const Demix expected(one, tiny_config(), three_domains, Seed{1});
  for (const int threads : {2, 3, 7, 64}) {
    device::Cpu cpu(threads);
    const Demix model(cpu, tiny_config(), three_domains, Seed{1});
    BOOST_TEST((all_values(model.weights().master()) == all_values(expected.weights().master())), threads);
  }
}

BOOST_AUTO_TEST_CASE(a_part_of_a_parameter_has_the_values_of_the_whole) {
  for (const auto& initializer :
       {Initializer::ones(), Initializer::normal(0.5, 2), Initializer::xavier_uniform()}) {
    const ParameterInfo parameter{"p", 5, 7, 0, false, initializer};
    std::vector<double> whole(parameter.size()), parts(parameter.size());
    initialize(parameter, Seed{3}, std::span(whole));
    for (const auto& [first, last] : {std::pair{std::size_t{0}, std::size_t{1}}, {1, 18}, {18, 18}, {18, 35}})
      initialize(parameter, Seed{3}, std::span(parts).subspan(first, last - first), first);
    BOOST_TEST(parts == whole, boost::test_tools::per_element());
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
