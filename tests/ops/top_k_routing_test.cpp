#include "demix/ops/top_k_routing.hpp"

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

constexpr std::size_t rows = 9, experts = 4, cols = 3;

/// Expert e makes (e + 1) x^2 of x.
template <class F>
void for_each_element(std::span<const std::int32_t> firsts, F f) {
  for (std::size_t e = 0; e < experts; ++e)
    for (auto r = static_cast<std::size_t>(firsts[e]); r < static_cast<std::size_t>(firsts[e + 1]); ++r)
      for (std::size_t c = 0; c < cols; ++c) f(static_cast<double>(e + 1), r * cols + c);
}

struct Mixture {
  device::Cpu cpu;
  ops::TopKRouting<device::Cpu, double, 2> routing{cpu};
  std::vector<double> x = random_values(rows * cols, 1), logits = random_values(rows * experts, 2);
  Owned<double> in{2 * rows, cols}, out{2 * rows, cols}, y{rows, cols};

  void forward() {
    routing.route({logits.data(), rows, experts});
    routing.dispatch({x.data(), rows, cols}, in.view());
    for_each_element(routing.host_firsts(), [&](double factor, std::size_t i) {
      out.values[i] = factor * in.values[i] * in.values[i];
    });
    routing.combine(out.view(), y.view());
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(top_k_routing)

BOOST_AUTO_TEST_CASE(equals_the_definition) {
  Mixture m;
  m.forward();
  for (std::size_t r = 0; r < rows; ++r) {
    const double* h = m.logits.data() + r * experts;
    std::size_t first = 0, second = experts;
    for (std::size_t e = 1; e < experts; ++e)
      if (h[e] > h[first]) first = e;
    for (std::size_t e = 0; e < experts; ++e)
      if (e != first && (second == experts || h[e] > h[second])) second = e;
    const double a = std::exp(h[first]), b = std::exp(h[second]);
    BOOST_TEST(m.routing.chosen()[2 * r] == static_cast<std::int32_t>(first));
    BOOST_TEST(m.routing.chosen()[2 * r + 1] == static_cast<std::int32_t>(second));
    for (std::size_t c = 0; c < cols; ++c) {
      const double x = m.x[r * cols + c],
                   factor =
                       (a * static_cast<double>(first + 1) + b * static_cast<double>(second + 1)) / (a + b);
      BOOST_TEST(std::fabs(m.y(r, c) - factor * x * x) < 1e-14);
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients_equal_finite_differences) {
  Mixture m;
  const auto weights = random_values(rows * cols, 3);
  const auto loss = [&] {
    m.forward();
    return weighted_sum(m.y.values, weights);
  };
  const auto dx_expected = finite_differences(m.x, loss),
             d_logits_expected = finite_differences(m.logits, loss);
  loss();
  Owned<double> dx(rows, cols, 99), d_logits(rows, experts);
  m.routing.combine_backward({weights.data(), rows, cols}, m.out.view());
  for_each_element(m.routing.host_firsts(),
                   [&](double factor, std::size_t i) { m.in.values[i] *= 2 * factor * m.out.values[i]; });
  m.routing.dispatch_backward(m.in.view(), dx.view());
  m.routing.route_backward_accumulate(d_logits.view());
  DEMIX_CHECK_CLOSE(dx.values, dx_expected, Tolerance<double>::finite_difference);
  DEMIX_CHECK_CLOSE(d_logits.values, d_logits_expected, Tolerance<double>::finite_difference);
}

BOOST_AUTO_TEST_CASE(shapes) {
  Mixture m;
  m.forward();
  Owned<double> small(rows, cols), few(rows - 1, cols), logits(rows, experts + 1);
  BOOST_CHECK_THROW(m.routing.dispatch(few.view(), m.in.view()), Error);
  BOOST_CHECK_THROW(m.routing.dispatch(small.view(), small.view()), Error);
  BOOST_CHECK_THROW(m.routing.combine(small.view(), small.view()), Error);
  BOOST_CHECK_THROW(m.routing.combine(m.out.view(), few.view()), Error);
  BOOST_CHECK_THROW(m.routing.combine_backward(few.view(), m.out.view()), Error);
  BOOST_CHECK_THROW(m.routing.dispatch_backward(m.in.view(), few.view()), Error);
  BOOST_CHECK_THROW(m.routing.route_backward_accumulate(logits.view()), Error);
}

BOOST_AUTO_TEST_SUITE_END()
