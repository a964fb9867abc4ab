#include "demix/ops/top_k.hpp"

#include <boost/mpl/list.hpp>
#include <numeric>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Types = boost::mpl::list<float, double>;
using Numbers = std::vector<std::int32_t>;

BOOST_AUTO_TEST_SUITE(top_k)

BOOST_AUTO_TEST_CASE_TEMPLATE(hand_values, T, Types) {
  device::Cpu cpu;
  // Of equal ones the first; minus infinity is a number; numbers come before NaN.
  const Owned<T> x(4, 3, std::vector<double>{1, 5, 3, 2, 2, 2, -INFINITY, -INFINITY, -INFINITY, NAN, 7, NAN});
  Owned<T> values(4, 2, T(99)), dx(4, 3, T(10));
  Numbers index(8, 99);
  ops::top_k<2>(cpu, x.view(), values.view(), index.data());
  BOOST_TEST(Numbers(index.begin(), index.begin() + 7) == (Numbers{1, 2, 0, 1, 0, 1, 1}),
             boost::test_tools::per_element());
  BOOST_TEST((index[7] >= 0 && index[7] < 3));
  BOOST_TEST(values(0, 0) == T(5));
  BOOST_TEST(values(0, 1) == T(3));
  BOOST_TEST(values(3, 0) == T(7));
  const Owned<T> d(4, 2, std::vector{1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0});
  ops::top_k_backward_accumulate<2>(cpu, d.view(), index.data(), dx.view());
  BOOST_TEST((dx.values == std::vector<T>{10, 11, 12, 13, 14, 10, 15, 16, 10, 10, 17, 10}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(equal_a_sort, T, Types) {
  device::Cpu cpu;
  for (const auto& [rows, cols] : {std::array<std::size_t, 2>{1, 3}, {50, 8}, {9, 100}, {0, 4}}) {
    auto x = random_matrix<T>(rows, cols, 1);
    for (T& v : x.values) v = std::round(v * 20);  // with equal ones
    Owned<T> values(rows, 3);
    Numbers index(rows * 3);
    ops::top_k<3>(cpu, x.view(), values.view(), index.data());
    for (std::size_t r = 0; r < rows; ++r) {
      std::vector<std::size_t> order(cols);
      std::iota(order.begin(), order.end(), 0u);
      std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return x(r, a) > x(r, b); });
      for (std::size_t j = 0; j < 3; ++j) {
        BOOST_TEST(static_cast<std::size_t>(index[r * 3 + j]) == order[j]);
        BOOST_TEST(values(r, j) == x(r, order[j]));
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(gradient_equals_finite_differences) {
  device::Cpu cpu;
  const std::size_t rows = 4, cols = 6;
  auto x = random_values(rows * cols, 1);
  const auto weights = random_values(rows * 2, 2);
  Owned<double> values(rows, 2), dx(rows, cols);
  Numbers index(rows * 2);
  const auto loss = [&] {
    ops::top_k<2>(cpu, Matrix<const double>(x.data(), rows, cols), values.view(), index.data());
    return weighted_sum(values.values, weights);
  };
  const auto expected = finite_differences(x, loss);
  loss();
  ops::top_k_backward_accumulate<2>(cpu, Matrix<const double>(weights.data(), rows, 2), index.data(),
                                    dx.view());
  DEMIX_CHECK_CLOSE(dx.values, expected, Tolerance<double>::finite_difference);
}

BOOST_AUTO_TEST_CASE(shapes) {
  device::Cpu cpu;
  Owned<float> x(2, 3), values(2, 2), four(2, 4), other(3, 2);
  Numbers index(8);
  BOOST_CHECK_THROW(ops::top_k<4>(cpu, x.view(), four.view(), index.data()), Error);
  BOOST_CHECK_THROW(ops::top_k<2>(cpu, x.view(), other.view(), index.data()), Error);
  BOOST_CHECK_THROW(ops::top_k<2>(cpu, four.view().slice_cols(0, 3), values.view(), index.data()), Error);
  BOOST_CHECK_THROW(ops::top_k_backward_accumulate<2>(cpu, other.view(), index.data(), x.view()), Error);
}

BOOST_AUTO_TEST_SUITE_END()
