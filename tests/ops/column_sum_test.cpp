#include "demix/ops/column_sum.hpp"

#include <boost/mpl/list.hpp>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Types = boost::mpl::list<float, double>;

namespace {

template <class T>
std::vector<T> bias_gradient(Matrix<const T> dy, T start) {
  device::Cpu cpu;
  device::Array<device::Cpu, T> scratch(cpu);
  std::vector<T> sums(dy.cols, start);
  ops::bias_backward(cpu, dy, Matrix<T>(sums.data(), 1, sums.size()), scratch);
  return sums;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(column_sum)

BOOST_AUTO_TEST_CASE_TEMPLATE(hand_value_accumulates, T, Types) {
  const Owned<T> dy(2, 3, std::vector{1.0, 2.0, 3.0, 10.0, 20.0, 30.0});
  BOOST_TEST((bias_gradient<T>(dy.view(), T(100)) == std::vector<T>{111, 122, 133}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(around_the_tile_limits, T, Types) {
  for (const std::size_t rows : {0, 1, 31, 32, 33, 64, 100})
    for (const std::size_t cols : {1, 255, 256, 257, 513}) {
      const auto dy = random_matrix<T>(rows, cols, rows + cols);
      std::vector<double> expected(cols, 0.5);
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c) expected[c] += static_cast<double>(dy(r, c));
      BOOST_TEST_CONTEXT(rows << " rows, " << cols << " columns")
      DEMIX_CHECK_CLOSE(bias_gradient<T>(dy.view(), T(0.5)), expected, Tolerance<T>::reduction);
    }
}

BOOST_AUTO_TEST_CASE(a_sliced_view) {
  const auto wide = random_matrix<double>(40, 10, 1);
  const auto all = bias_gradient<double>(wide.view(), 0),
             part = bias_gradient<double>(wide.view().slice_cols(3, 7), 0);
  for (std::size_t c = 0; c < 4; ++c) BOOST_TEST(part[c] == all[c + 3]);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(the_same_bits_for_any_number_of_threads, T, Types) {
  const auto dy = random_matrix<T>(1000, 300, 1);
  std::vector<T> one, two, seven;
  {
    const Threads threads(1);
    one = bias_gradient<T>(dy.view(), T(0));
  }
  {
    const Threads threads(2);
    two = bias_gradient<T>(dy.view(), T(0));
  }
  {
    const Threads threads(7);
    seven = bias_gradient<T>(dy.view(), T(0));
  }
  BOOST_TEST((one == two));
  BOOST_TEST((one == seven));
}

BOOST_AUTO_TEST_CASE(shapes) {
  device::Cpu cpu;
  device::Array<device::Cpu, float> scratch(cpu);
  Owned<float> dy(3, 4), narrow(1, 3), tall(2, 4);
  BOOST_CHECK_THROW(ops::bias_backward<float>(cpu, dy.view(), narrow.view(), scratch), Error);
  BOOST_CHECK_THROW(ops::bias_backward<float>(cpu, dy.view(), tall.view(), scratch), Error);
  BOOST_CHECK_THROW(
      ops::column_sum_accumulate(cpu, 3, ops::ElementTerm<float>{dy.values.data(), 4}, tall.view(), scratch),
      Error);
}

BOOST_AUTO_TEST_SUITE_END()
