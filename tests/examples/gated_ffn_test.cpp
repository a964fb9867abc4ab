#include "gated_ffn.hpp"

#include <boost/mpl/list.hpp>

#include "model/initial_values.hpp"
#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;
using Activations = boost::mpl::list<ops::Relu, ops::Gelu, ops::GeluTanh>;

template <class A>
using GatedModel = LanguageModel<device::Cpu, Fp64, CausalAttention, LayerNorm, GatedFFN<A>, NoConditioning>;

BOOST_AUTO_TEST_SUITE(gated_ffn)

// C = 2, F = 1, two experts: gate = x0 + 2 x1 and 3 x0, up = x1 and 5 x0 + x1, down = (7, -1) and (2, 4).
BOOST_AUTO_TEST_CASE(hand_value_each_row_through_its_expert) {
  device::Cpu cpu;
  ModelConfig config;
  config.d_model = 2;
  config.d_ffn = 1;
  ParameterLayout layout;
  const GatedFFN<ops::Relu>::Layer<device::Cpu, Fp64> layer(layout, "ffn", config);
  BOOST_TEST(layout.shared.size() == 0u);
  ParameterArena<device::Cpu, double> values(cpu, layout, HeldExperts(2));
  const std::vector<std::vector<double>> gate_up{{1, 2, 0, 1}, {3, 0, 5, 1}}, down{{7, -1}, {2, 4}};
  for (int e = 0; e < 2; ++e)
    for (const auto& parameter : layout.expert.parameters()) {
      const auto span = values.region(ExpertId{e}).subspan(parameter.offset, parameter.size());
      if (parameter.name == "ffn.gate_proj.weight")
        std::copy_n(gate_up[static_cast<std::size_t>(e)].begin(), 2, span.begin());
      if (parameter.name == "ffn.up_proj.weight")
        std::copy_n(gate_up[static_cast<std::size_t>(e)].begin() + 2, 2, span.begin());
      if (parameter.name == "ffn.down_proj.weight")
        std::copy_n(down[static_cast<std::size_t>(e)].begin(), 2, span.begin());
    }
  // Row 0: gate 7, up 3. Row 1: gate -3, so 0. Row 2: gate 6, up 9.
  const Owned<double> x(3, 2, std::vector<double>{1, 3, 1, -2, 2, -1});
  Owned<double> y(3, 2, 99.0);
  const std::vector<RowSegment> segments{{DomainId{0}, ExpertId{0}, 0, 2}, {DomainId{1}, ExpertId{1}, 2, 3}};
  GatedFFN<ops::Relu>::Layer<device::Cpu, Fp64>::Saved saved(cpu);
  Workspace<device::Cpu, Fp64> workspace(cpu);
  layer.forward({cpu, values, workspace, 3, segments, {}, false, nullptr}, x.view(), y.view(), saved);
  const std::vector<double> expected{147, -21, 0, 0, 108, 216};
  BOOST_TEST(y.values == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE_TEMPLATE(gradients_equal_finite_differences, A, Activations) {
  check_gradients_of_all_configurations<GatedModel<A>>();
}

BOOST_AUTO_TEST_CASE(an_expert_without_rows_gets_no_gradient) {
  device::Cpu cpu;
  GatedModel<ops::Gelu> model(cpu, tiny_config(), three_domains, Seed{3});
  auto gradients = model.make_gradients();
  model.accumulate_gradients(tiny_batch(), {}, gradients);
  const auto is_zero = [](double g) { return g == 0; };
  for (const int domain : {0, 1, 2}) {
    const auto region = gradients.region(ExpertId{domain});
    BOOST_TEST(std::all_of(region.begin(), region.end(), is_zero) == (domain == 1));
  }
}

BOOST_AUTO_TEST_CASE(starts_as_linear_layers_do_and_experts_alike) {
  device::Cpu cpu;
  ModelConfig config = tiny_config();
  config.d_model = 32;
  config.d_ffn = 128;
  const GatedModel<ops::Gelu> model(cpu, config, three_domains, Seed{3});
  const auto& values = model.weights().master();
  for (const auto& parameter : model.layout().expert.parameters())
    check_uniform(parameter.name, span_of(values, ExpertId{2}, parameter), std::sqrt(6 / (128.0 + 32.0)));
  const auto one = values.region(ExpertId{0}), other = values.region(ExpertId{1});
  BOOST_TEST(std::equal(one.begin(), one.end(), other.begin()));
}

BOOST_AUTO_TEST_SUITE_END()
