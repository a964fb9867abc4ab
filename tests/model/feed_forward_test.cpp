#include "demix/model/feed_forward.hpp"

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

constexpr std::size_t rows = 5, width = 8, inner = 12;

/// One layer of an FFN policy, with three experts where it has any, and random parameters.
template <class FFN>
struct OneLayer {
  using Layer = typename FFN::template Layer<device::Cpu, Fp64>;

  OneLayer()
      : layer(layout, "ffn", tiny_config()),
        weights(cpu, layout, HeldExperts(3)),
        gradients(cpu, layout, HeldExperts(3)) {
    std::uint64_t seed = 1;
    for (const RegionId region : weights.regions()) {
      const auto values = weights.region(region);
      const auto random = random_values(values.size(), seed++);
      std::copy(random.begin(), random.end(), values.begin());
    }
  }

  std::vector<double> forward(Owned<double>& x) {
    Owned<double> y(rows, width);
    layer.forward({cpu, weights, workspace, rows, segments, {}}, x.view(), y.view(), saved);
    return y.values;
  }
  std::vector<double> backward(Owned<double>& x, Owned<double>& dy) {
    Owned<double> dx(rows, width);
    forward(x);
    layer.backward({{cpu, weights, workspace, rows, segments, {}}, gradients}, x.view(), dy.view(), dx.view(),
                   saved);
    return dx.values;
  }

  device::Cpu cpu{1};
  ParameterLayout layout;
  Layer layer;
  ParameterArena<device::Cpu, double> weights, gradients;
  Workspace<device::Cpu, Fp64> workspace{cpu};
  typename Layer::Saved saved{cpu};
  // Expert 1 has no rows.
  std::vector<RowSegment> segments{{DomainId{0}, ExpertId{0}, 0, 2}, {DomainId{2}, ExpertId{2}, 2, rows}};
};

/// fc2 relu(fc1 x) of row r, by the numbers of one region.
std::vector<double> naive(const RegionLayout& region, std::span<const double> values, const double* x) {
  const auto& p = region.parameters();  // fc1.weight, fc1.bias, fc2.weight, fc2.bias
  std::vector<double> hidden(inner), y(width);
  for (std::size_t f = 0; f < inner; ++f) {
    double sum = values[p[1].offset + f];
    for (std::size_t c = 0; c < width; ++c) sum += values[p[0].offset + f * width + c] * x[c];
    hidden[f] = std::max(sum, 0.0);
  }
  for (std::size_t c = 0; c < width; ++c) {
    y[c] = values[p[3].offset + c];
    for (std::size_t f = 0; f < inner; ++f) y[c] += values[p[2].offset + c * inner + f] * hidden[f];
  }
  return y;
}

/// Which region serves row r.
template <class FFN>
RegionId region_of(std::size_t r) {
  return !FFN::has_experts ? RegionId::shared() : RegionId(ExpertId(r < 2 ? 0 : 2));
}

using Policies = std::tuple<DenseFFN<ops::Relu>, DEMixFFN<ops::Relu>>;

}  // namespace

BOOST_AUTO_TEST_SUITE(feed_forward_policies)

BOOST_AUTO_TEST_CASE_TEMPLATE(each_row_goes_through_the_layer_of_its_segment, FFN, Policies) {
  OneLayer<FFN> one;
  auto x = random_matrix<double>(rows, width, 50);
  std::vector<double> expected;
  for (std::size_t r = 0; r < rows; ++r) {
    const RegionId region = region_of<FFN>(r);
    const auto y = naive(region.layout(one.layout), std::as_const(one.weights).region(region), &x(r, 0));
    expected.insert(expected.end(), y.begin(), y.end());
  }
  DEMIX_CHECK_CLOSE(one.forward(x), expected, 1e-13);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(gradients_equal_finite_differences_and_accumulate, FFN, Policies) {
  OneLayer<FFN> one;
  auto x = random_matrix<double>(rows, width, 50), dy = random_matrix<double>(rows, width, 51);
  const auto dx = one.backward(x, dy);
  const auto loss = [&] { return weighted_sum(one.forward(x), dy.values); };
  DEMIX_CHECK_CLOSE(dx, finite_differences(x.values, loss), 1e-7);
  for (const RegionId id : one.weights.regions()) {
    const auto values = one.weights.region(id);
    std::vector<double> numeric(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double saved = values[i], h = 1e-5;
      values[i] = saved + h;
      const double above = loss();
      values[i] = saved - h;
      numeric[i] = (above - loss()) / (2 * h);
      values[i] = saved;
    }
    const auto gradient = one.gradients.region(id);
    DEMIX_CHECK_CLOSE(std::vector<double>(gradient.begin(), gradient.end()), numeric, 1e-7);
  }
  const auto once = all_values(one.gradients);
  one.backward(x, dy);
  auto twice = once;
  for (double& each : twice) each *= 2;
  DEMIX_CHECK_CLOSE(all_values(one.gradients), twice, 1e-14);
}

BOOST_AUTO_TEST_CASE(an_expert_without_rows_gets_no_gradient) {
  OneLayer<DEMixFFN<ops::Relu>> one;
  auto x = random_matrix<double>(rows, width, 50), dy = random_matrix<double>(rows, width, 51);
  one.backward(x, dy);
  for (const double each : one.gradients.region(ExpertId{1})) BOOST_TEST(each == 0.0);
}

BOOST_AUTO_TEST_CASE(text_of_an_expert_that_is_not_held_is_an_error) {
  OneLayer<DEMixFFN<ops::Relu>> one;
  const ParameterArena<device::Cpu, double> some(one.cpu, one.layout, HeldExperts(3, {ExpertId{0}}));
  auto x = random_matrix<double>(rows, width, 50), y = x;
  BOOST_CHECK_THROW(one.layer.forward({one.cpu, some, one.workspace, rows, one.segments, {}}, x.view(),
                                      y.view(), one.saved),
                    Error);
}

BOOST_AUTO_TEST_SUITE_END()
