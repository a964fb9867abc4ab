#include "policies/token_routed_ffn.hpp"

#include <boost/mpl/list.hpp>

#include "device/counting.hpp"
#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;
using policies::TokenRoutedFFN;
using Types = boost::mpl::list<Fp32, Fp64>;

static_assert(FeedForwardPolicy<TokenRoutedFFN<ops::Relu>, device::Cpu, Fp32>);

namespace {

constexpr std::size_t experts = 3, C = 8, F = 12, rows = 15;
using FFN = TokenRoutedFFN<ops::Gelu, experts>;

template <class D, class P = Fp64, class Conditioning = NoConditioning>
using Model = LanguageModel<D, P, CausalAttention, LayerNorm, FFN, Conditioning>;

/// One layer with random parameters, and x [rows, C].
template <class P>
struct OneLayer {
  using T = compute_t<P>;
  using Layer = typename FFN::template Layer<device::Cpu, P>;
  device::Cpu cpu{1};
  ParameterLayout layout;
  Layer layer{layout, "ffn", tiny_config()};
  ParameterArena<device::Cpu, T> weights{cpu, layout, HeldExperts(0)};
  Workspace<device::Cpu, P> workspace{cpu};
  typename Layer::Saved saved{cpu};
  Owned<T> x = random_matrix<T>(rows, C, 1), y{rows, C, T(99)};
  std::vector<RowSegment> segments{{DomainId{0}, ExpertId{0}, 0, 5}, {DomainId{2}, ExpertId{2}, 5, 15}};

  OneLayer() {
    const auto region = weights.region(RegionId::shared());
    const auto values = random_values(region.size(), 7);
    std::transform(values.begin(), values.end(), region.begin(), [](double v) { return static_cast<T>(v); });
  }
  ForwardPass<device::Cpu, P> pass(bool training, double* added_loss = nullptr, ops::Dropout dropout = {}) {
    return {cpu, weights, workspace, 5, segments, dropout, training, added_loss};
  }
  std::vector<T> forward(const ForwardPass<device::Cpu, P>& p) {
    layer.forward(p, x.view(), y.view(), saved);
    return y.values;
  }
  /// Element (r, c) of a parameter.
  double operator()(const std::string& name, std::size_t i) const {
    for (const auto& p : layout.shared.parameters())
      if (p.name == name) return static_cast<double>(weights.region(RegionId::shared())[p.offset + i]);
    throw Error(name);
  }

  /// The logits without noise, [rows, E].
  std::vector<double> logits() const {
    std::vector<double> h(rows * experts);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t e = 0; e < experts; ++e)
        for (std::size_t c = 0; c < C; ++c)
          h[r * experts + e] += (*this)("ffn.router.weight", e * C + c) * static_cast<double>(x(r, c));
    return h;
  }
  /// The two largest of row r, the larger first.
  static std::array<std::size_t, 2> chosen(const std::vector<double>& h, std::size_t r) {
    std::array<std::size_t, experts> order{0, 1, 2};
    std::sort(order.begin(), order.end(),
              [&](auto a, auto b) { return h[r * experts + a] > h[r * experts + b]; });
    return {order[0], order[1]};
  }
  double expert(std::size_t e, std::size_t r, std::size_t out) const {
    const std::string name = concat("ffn.experts.", e);
    double sum = (*this)(name + ".fc2.bias", out);
    for (std::size_t f = 0; f < F; ++f) {
      double pre = (*this)(name + ".fc1.bias", f);
      for (std::size_t c = 0; c < C; ++c)
        pre += (*this)(name + ".fc1.weight", f * C + c) * static_cast<double>(x(r, c));
      sum += (*this)(name + ".fc2.weight", out * F + f) * ops::Gelu::value(pre);
    }
    return sum;
  }
  std::vector<double> reference(const std::vector<double>& h) const {
    std::vector<double> result;
    for (std::size_t r = 0; r < rows; ++r) {
      const auto [a, b] = chosen(h, r);
      const double gate = 1 / (1 + std::exp(h[r * experts + b] - h[r * experts + a]));
      for (std::size_t c = 0; c < C; ++c)
        result.push_back(gate * expert(a, r, c) + (1 - gate) * expert(b, r, c));
    }
    return result;
  }
};

const ops::Dropout at_step_4{0, Seed{9}, 4};

}  // namespace

BOOST_AUTO_TEST_SUITE(token_routed_ffn)

BOOST_AUTO_TEST_CASE_TEMPLATE(evaluation_equals_the_definition, P, Types) {
  using T = compute_t<P>;
  OneLayer<P> layer;
  DEMIX_CHECK_CLOSE(layer.forward(layer.pass(false)), layer.reference(layer.logits()),
                    Tolerance<T>::model_loss);
}

// With the noise of this layer, and its loss: n alpha E sum_e f_e P_e for each segment of n rows.
BOOST_AUTO_TEST_CASE(training_equals_the_definition) {
  OneLayer<Fp64> layer;
  auto h = layer.logits();
  double added = 1;
  const auto pass = layer.pass(true, &added, at_step_4);
  ops::add_noise(layer.cpu, pass.random(fnv1a("ffn")), 1.0 / experts,
                 Matrix<double>(h.data(), rows, experts));
  const auto y = layer.forward(pass);
  DEMIX_CHECK_CLOSE(y, layer.reference(h), Tolerance<double>::model_loss);
  double expected = 1;
  for (const auto& [domain, expert, first, last] : layer.segments) {
    const auto n = static_cast<double>(last - first);
    std::array<double, experts> f{}, p{};
    for (std::size_t r = first; r < last; ++r) {
      double sum = 0;
      for (const std::size_t e : layer.chosen(h, r)) f[e] += 1 / (2 * n);
      for (std::size_t e = 0; e < experts; ++e) sum += std::exp(h[r * experts + e]);
      for (std::size_t e = 0; e < experts; ++e) p[e] += std::exp(h[r * experts + e]) / sum / n;
    }
    for (std::size_t e = 0; e < experts; ++e) expected += n * FFN::balance * experts * f[e] * p[e];
  }
  BOOST_TEST(std::fabs(added - expected) < 1e-13);
}

BOOST_AUTO_TEST_CASE(noise_is_that_of_the_pass_and_the_row) {
  OneLayer<Fp64> layer;
  const auto once = layer.forward(layer.pass(true, nullptr, at_step_4));
  BOOST_TEST((layer.forward(layer.pass(true, nullptr, at_step_4)) == once));
  BOOST_TEST((layer.forward(layer.pass(true, nullptr, {0, Seed{9}, 5})) != once));
  BOOST_TEST((layer.forward(layer.pass(true, nullptr, {0, Seed{8}, 4})) != once));
  BOOST_TEST((layer.forward(layer.pass(false)) != once));
  std::vector<std::int32_t> numbers(rows);
  std::iota(numbers.begin(), numbers.end(), 0);
  ops::Dropout numbered = at_step_4;
  numbered.row_numbers = numbers.data();
  BOOST_TEST((layer.forward(layer.pass(true, nullptr, numbered)) == once));
  numbers[3] = 1000;
  const auto other = layer.forward(layer.pass(true, nullptr, numbered));
  for (std::size_t i = 0; i < once.size(); ++i) BOOST_TEST((other[i] == once[i]) == (i / C != 3));
}

BOOST_AUTO_TEST_CASE(gradients_equal_finite_differences) {
  check_gradients_of_all_configurations<Model<device::Cpu>>();
  device::Cpu cpu(1);
  Model<device::Cpu, Fp64, DomainToken> model(cpu, tiny_config(), three_domains, Seed{3});
  BOOST_TEST(check_gradients(model, tiny_batch(), {0.2f, Seed{9}, 4, 0}).passed());
}

// Two ranks that read a domain each add up to one process that reads both, also the term of the loss.
BOOST_AUTO_TEST_CASE(ranks_compute_what_one_process_computes) {
  device::Cpu cpu(1);
  Model<device::Cpu> model(cpu, tiny_config(), three_domains, Seed{3});
  perturb(model);
  const Batch both = random_batch(5, {{0, 2}, {2, 3}}, 5);
  auto whole = model.make_gradients(), parts = model.make_gradients();
  LossTotals<device::Cpu> whole_totals(cpu, 3), part_totals(cpu, 3);
  model.accumulate_gradients(both, at_step_4, whole, whole_totals);
  for (const auto& segment : both.segments) {
    const auto first = static_cast<std::ptrdiff_t>(segment.first * 5),
               last = static_cast<std::ptrdiff_t>(segment.last * 5);
    Batch part{5,
               {both.source.begin() + first, both.source.begin() + last},
               {both.target.begin() + first, both.target.begin() + last},
               {}};
    part.segments.push_back({segment.domain, 0, segment.last - segment.first, segment.first});
    model.accumulate_gradients(part, at_step_4, parts, part_totals);
  }
  DEMIX_CHECK_CLOSE(all_values(parts), all_values(whole), Tolerance<double>::model_gradient);
  BOOST_TEST(*whole_totals.added() > 0.01);
  BOOST_TEST(std::fabs(*part_totals.added() - *whole_totals.added()) < 1e-12);
}

BOOST_AUTO_TEST_CASE(a_layer_waits_once_and_allocates_nothing_later) {
  CountingDevice device(1);
  auto config = tiny_config();
  for (const std::size_t layers : {1u, 3u}) {
    config.layers = layers;
    Model<CountingDevice, Fp32> model(device, config, three_domains, Seed{3});
    auto gradients = model.make_gradients();
    LossTotals<CountingDevice> totals(device, 3);
    model.accumulate_gradients(tiny_batch(), at_step_4, gradients, totals);
    const std::size_t waits = device.waits, allocations = device.allocations;
    model.accumulate_gradients(tiny_batch(8), at_step_4, gradients, totals);
    BOOST_TEST(device.waits - waits == layers);
    BOOST_TEST(device.allocations == allocations);
  }
}

BOOST_AUTO_TEST_CASE(a_model_with_it_trains_and_spreads_its_tokens) {
  device::Cpu cpu(1);
  Model<device::Cpu> model(cpu, tiny_config(), three_domains, Seed{1});
  const double start = descend(model, tiny_batch(), 0.3);
  double loss = start;
  for (int step = 0; step < 60; ++step) loss = descend(model, tiny_batch(), 0.3);
  BOOST_TEST(loss < 0.5 * start);
}

// The gradient of the term alone sends fewer tokens to the expert that all prefer.
BOOST_AUTO_TEST_CASE(the_term_spreads_the_tokens) {
  device::Cpu cpu(1);
  OneLayer<Fp64> layer;
  for (std::size_t r = 0; r < rows; ++r) layer.x(r, 0) = 1;
  layer.weights.region(RegionId::shared())[0] += 3;  // of the router: expert 0, column 0
  ParameterArena<device::Cpu, double> gradients(cpu, layer.layout, HeldExperts(0));
  const Owned<double> dy(rows, C);  // the loss of the tokens is none
  Owned<double> dx(rows, C);
  double first = 0, last = 0;
  for (int step = 0; step < 600; ++step) {
    last = 0;
    const auto pass = layer.pass(true, &last, at_step_4);
    layer.forward(pass);
    gradients.fill_zero();
    layer.layer.backward({pass, gradients}, layer.x.view(), dy.view(), dx.view(), layer.saved);
    const auto w = layer.weights.region(RegionId::shared());
    const auto g = gradients.region(RegionId::shared());
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= 1.0 * g[i];
    if (step == 0) first = last;
  }
  const double least = rows * FFN::balance;
  BOOST_TEST(first > 1.3 * least);
  BOOST_TEST(last < 1.05 * least);
}

BOOST_AUTO_TEST_SUITE_END()
