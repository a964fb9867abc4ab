#include "demix/ops/linear.hpp"

#include <boost/mpl/list.hpp>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using device::Transpose;
using Types = boost::mpl::list<float, double>;

namespace {

template <class T>
Owned<double> naive_product(Transpose ta, Matrix<const T> a, Transpose tb, Matrix<const T> b) {
  const bool at = ta == Transpose::yes, bt = tb == Transpose::yes;
  Owned<double> c(at ? a.cols : a.rows, bt ? b.rows : b.cols);
  const std::size_t inner = at ? a.rows : a.cols;
  for (std::size_t i = 0; i < c.rows; ++i)
    for (std::size_t j = 0; j < c.cols; ++j)
      for (std::size_t l = 0; l < inner; ++l)
        c(i, j) += static_cast<double>(at ? a.row(l)[i] : a.row(i)[l]) *
                   static_cast<double>(bt ? b.row(j)[l] : b.row(l)[j]);
  return c;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(linear)

BOOST_AUTO_TEST_CASE_TEMPLATE(hand_values, T, Types) {
  device::Cpu cpu;
  const Owned<T> x(1, 2, std::vector{1.0, 2.0}), w(3, 2, std::vector{1.0, 0.0, 0.0, 1.0, 3.0, -1.0});
  Owned<T> y(1, 3, T(99));
  ops::linear(cpu, x.view(), w.view(), y.view());
  BOOST_TEST((y.values == std::vector<T>{1, 2, 1}));

  const Owned<T> dy(1, 3, std::vector{1.0, 2.0, 3.0});
  Owned<T> dx(1, 2, T(99)), dw(3, 2, T(10));
  ops::linear_backward_input(cpu, dy.view(), w.view(), dx.view());
  BOOST_TEST((dx.values == std::vector<T>{10, -1}));
  ops::linear_backward_input_accumulate(cpu, dy.view(), w.view(), dx.view());
  BOOST_TEST((dx.values == std::vector<T>{20, -2}));
  ops::linear_backward_weight(cpu, dy.view(), x.view(), dw.view());
  BOOST_TEST((dw.values == std::vector<T>{11, 12, 12, 14, 13, 16}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(all_transposes_and_odd_sizes, T, Types) {
  device::Cpu cpu;
  struct Size {
    std::size_t m, n, k;
  };
  for (const auto& [m, n, k] : {Size{1, 1, 1}, {1, 65, 33}, {33, 1, 64}, {31, 32, 1}, {67, 63, 129}})
    for (const auto ta : {Transpose::no, Transpose::yes})
      for (const auto tb : {Transpose::no, Transpose::yes}) {
        const auto a = ta == Transpose::yes ? random_matrix<T>(k, m, 1) : random_matrix<T>(m, k, 1);
        const auto b = tb == Transpose::yes ? random_matrix<T>(n, k, 2) : random_matrix<T>(k, n, 2);
        auto c = random_matrix<T>(m, n, 3);
        auto expected = naive_product<T>(ta, a.view(), tb, b.view());
        for (std::size_t i = 0; i < c.values.size(); ++i)
          expected.values[i] += 0.5 * static_cast<double>(c.values[i]);
        ops::matmul(cpu, ta, a.view(), tb, b.view(), T(0.5), c.view());
        BOOST_TEST_CONTEXT("m=" << m << " n=" << n << " k=" << k)
        DEMIX_CHECK_CLOSE(c.values, expected.values, Tolerance<T>::gemm);
      }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(beta_zero_overwrites_even_nan, T, Types) {
  device::Cpu cpu;
  const auto a = random_matrix<T>(5, 7, 1), b = random_matrix<T>(7, 3, 2);
  Owned<T> c(5, 3, std::numeric_limits<T>::quiet_NaN());
  ops::matmul(cpu, Transpose::no, a.view(), Transpose::no, b.view(), T(0), c.view());
  DEMIX_CHECK_CLOSE(c.values, naive_product<T>(Transpose::no, a.view(), Transpose::no, b.view()).values,
                    Tolerance<T>::gemm);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(sliced_views_leave_the_rest_alone, T, Types) {
  device::Cpu cpu;
  const auto wide_a = random_matrix<T>(9, 20, 1), wide_b = random_matrix<T>(8, 30, 2);
  Owned<T> wide_c(10, 25, T(7));
  const auto a = wide_a.view().slice_rows(2, 8).slice_cols(3, 11), b = wide_b.view().slice_cols(5, 17);
  const auto c = wide_c.view().slice_rows(1, 7).slice_cols(4, 16);
  const auto expected = naive_product<T>(Transpose::no, a, Transpose::no, b);
  ops::matmul(cpu, Transpose::no, a, Transpose::no, b, T(0), c);
  std::vector<T> inside;
  std::size_t untouched = 0;
  for (std::size_t r = 0; r < 10; ++r)
    for (std::size_t col = 0; col < 25; ++col)
      if (r >= 1 && r < 7 && col >= 4 && col < 16)
        inside.push_back(wide_c(r, col));
      else
        untouched += wide_c(r, col) == T(7);
  DEMIX_CHECK_CLOSE(inside, expected.values, Tolerance<T>::gemm);
  BOOST_TEST(untouched == 250u - 72u);
}

BOOST_AUTO_TEST_CASE(no_rows) {
  device::Cpu cpu;
  const Owned<float> x(0, 4), w(3, 4), dy(0, 3);
  Owned<float> y(0, 3), dw(3, 4, 5.0f);
  ops::linear(cpu, x.view(), w.view(), y.view());
  ops::linear_backward_weight(cpu, dy.view(), x.view(), dw.view());
  BOOST_TEST(dw.values == std::vector<float>(12, 5.0f), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(wrong_shapes) {
  device::Cpu cpu;
  const Owned<float> no_inner(2, 0), no_outer(3, 0);
  Owned<float> uninitialised(2, 3);
  BOOST_CHECK_THROW(ops::linear(cpu, no_inner.view(), no_outer.view(), uninitialised.view()), Error);
  const Owned<float> x(2, 4), w(3, 5), w4(3, 4);
  Owned<float> y(2, 3), narrow(2, 2), bias(1, 4), two_rows(2, 3);
  BOOST_CHECK_THROW(ops::linear(cpu, x.view(), w.view(), y.view()), Error);
  BOOST_CHECK_THROW(ops::linear(cpu, x.view(), w4.view(), narrow.view()), Error);
  BOOST_CHECK_THROW(ops::linear_backward_input(cpu, y.view(), w.view(), narrow.view()), Error);
  BOOST_CHECK_THROW(ops::linear_backward_input_accumulate(cpu, y.view(), w.view(), narrow.view()), Error);
  BOOST_CHECK_THROW(ops::linear_backward_weight<float>(cpu, y.view(), x.view(), y.view()), Error);
  BOOST_CHECK_THROW(ops::bias_add(cpu, bias.view(), y.view()), Error);
  BOOST_CHECK_THROW(ops::bias_add(cpu, two_rows.view(), y.view()), Error);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(bias_add_on_a_slice, T, Types) {
  device::Cpu cpu;
  const Owned<T> bias(1, 2, std::vector{10.0, 20.0});
  Owned<T> y(2, 4, T(1));
  ops::bias_add(cpu, bias.view(), y.view().slice_cols(1, 3));
  BOOST_TEST((y.values == std::vector<T>{1, 11, 21, 1, 1, 11, 21, 1}));
}

BOOST_AUTO_TEST_SUITE_END()
