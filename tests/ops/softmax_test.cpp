#include "demix/ops/softmax.hpp"

#include <boost/mpl/list.hpp>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Types = boost::mpl::list<float, double>;

BOOST_AUTO_TEST_SUITE(softmax)

BOOST_AUTO_TEST_CASE_TEMPLATE(hand_values, T, Types) {
  device::Cpu cpu;
  const Owned<T> x(3, 2, std::vector<double>{0, 0, 1000, 1000 + std::log(3.0), -5, -INFINITY});
  Owned<T> y(3, 2, T(99));
  ops::softmax(cpu, x.view(), y.view());
  // A float near 1000 has steps of 6e-5.
  DEMIX_CHECK_CLOSE(y.values, (std::vector{0.5, 0.5, 0.25, 0.75, 1.0, 0.0}),
                    (std::is_same_v<T, float> ? 2e-5 : 1e-13));
  const Owned<T> dy(3, 2, std::vector{1.0, 3.0, 4.0, 8.0, 1.0, 100.0});
  Owned<T> dx(3, 2, T(99));
  ops::softmax_backward(cpu, Owned<T>(3, 2, std::vector{0.5, 0.5, 0.25, 0.75, 1.0, 0.0}).view(), dy.view(),
                        dx.view());
  BOOST_TEST((dx.values == std::vector<T>{-0.5, 0.5, -0.75, 0.75, 0, 0}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(in_place_equals_the_definition, T, Types) {
  device::Cpu cpu;
  for (const auto& [rows, cols] : {std::array<std::size_t, 2>{1, 1}, {5, 2}, {40, 33}, {0, 3}}) {
    const auto x = random_matrix<T>(rows, cols, 1), dy = random_matrix<T>(rows, cols, 2);
    auto y = x;
    ops::softmax(cpu, y.view(), y.view());
    auto over_y = y, over_dy = dy;
    ops::softmax_backward(cpu, y.view(), over_dy.view(), over_dy.view());
    ops::softmax_backward(cpu, over_y.view(), dy.view(), over_y.view());
    Owned<double> expected(rows, cols), dx(rows, cols);
    for (std::size_t r = 0; r < rows; ++r) {
      double sum = 0, mean = 0;
      for (std::size_t c = 0; c < cols; ++c) sum += std::exp(static_cast<double>(x(r, c)));
      for (std::size_t c = 0; c < cols; ++c) {
        expected(r, c) = std::exp(static_cast<double>(x(r, c))) / sum;
        mean += expected(r, c) * static_cast<double>(dy(r, c));
      }
      for (std::size_t c = 0; c < cols; ++c)
        dx(r, c) = expected(r, c) * (static_cast<double>(dy(r, c)) - mean);
    }
    DEMIX_CHECK_CLOSE(y.values, expected.values, Tolerance<T>::elementwise);
    if (cols > 1) DEMIX_CHECK_CLOSE(over_y.values, dx.values, Tolerance<T>::reduction);
    BOOST_TEST(over_y.values == over_dy.values, boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_CASE(gradient_equals_finite_differences) {
  device::Cpu cpu;
  const std::size_t rows = 3, cols = 7;
  auto x = random_values(rows * cols, 1);
  const auto weights = random_values(rows * cols, 2);
  Owned<double> y(rows, cols), dx(rows, cols);
  const auto loss = [&] {
    ops::softmax(cpu, Matrix<const double>(x.data(), rows, cols), y.view());
    return weighted_sum(y.values, weights);
  };
  const auto expected = finite_differences(x, loss);
  loss();
  ops::softmax_backward(cpu, y.view(), Matrix<const double>(weights.data(), rows, cols), dx.view());
  DEMIX_CHECK_CLOSE(dx.values, expected, Tolerance<double>::finite_difference);
}

BOOST_AUTO_TEST_CASE(strides_and_one_gradient_for_all_rows) {
  device::Cpu cpu;
  const auto wide = random_matrix<float>(4, 9, 1), row = random_matrix<float>(1, 3, 2);
  Owned<float> repeated(4, 3), y(4, 3), expected(4, 3);
  for (std::size_t i = 0; i < 12; ++i) repeated.values[i] = row.values[i % 3];
  const auto x = wide.view().slice_cols(2, 5);
  ops::softmax(cpu, x, y.view());
  for (std::size_t r = 0; r < 4; ++r) {
    Owned<float> alone(1, 3);
    ops::softmax(cpu, x.slice_rows(r, r + 1), alone.view());
    for (std::size_t c = 0; c < 3; ++c) BOOST_TEST(alone(0, c) == y(r, c));
  }
  ops::softmax_backward(cpu, y.view(), repeated.view(), expected.view());
  ops::softmax_backward(cpu, y.view(), Matrix<const float>(row.values.data(), 4, 3, 0), y.view());
  BOOST_TEST(y.values == expected.values, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(shapes) {
  device::Cpu cpu;
  Owned<float> a(2, 3), b(3, 3), c(2, 4);
  BOOST_CHECK_THROW(ops::softmax(cpu, a.view(), b.view()), Error);
  BOOST_CHECK_THROW(ops::softmax(cpu, a.view(), c.view()), Error);
  BOOST_CHECK_THROW(ops::softmax_backward(cpu, a.view(), b.view(), a.view()), Error);
  BOOST_CHECK_THROW(ops::softmax_backward(cpu, a.view(), a.view(), c.view()), Error);
}

BOOST_AUTO_TEST_SUITE_END()
