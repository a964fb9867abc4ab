#include "demix/ops/gather.hpp"

#include <boost/mpl/list.hpp>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Types = boost::mpl::list<float, double>;
using Numbers = std::vector<std::int32_t>;

namespace {

/// n numbers below `end`.
Numbers random_index(std::size_t n, std::size_t end, std::uint64_t seed) {
  Numbers index(n);
  for (std::size_t i = 0; i < n; ++i)
    index[i] =
        static_cast<std::int32_t>(philox(Seed{seed}, static_cast<std::uint32_t>(i), 0, 0, 0).word[0] % end);
  return index;
}

template <class T>
bool is_nan(const Owned<T>& m, std::size_t r) {
  bool all = true;
  for (std::size_t c = 0; c < m.cols; ++c) all = all && std::isnan(m(r, c));
  return all;
}

/// Three rows, two of three experts each, their way there and back.
struct Routed {
  device::Cpu cpu;
  Numbers chosen{2, 0, 0, 1, 2, 1};
  ops::RowGroups<device::Cpu> groups{cpu};
  Routed() { groups.assign(chosen.data(), 6, 3); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(gather)

BOOST_AUTO_TEST_CASE_TEMPLATE(hand_values, T, Types) {
  device::Cpu cpu;
  const Owned<T> x(3, 2, std::vector{1.0, 2.0, 3.0, 4.0, 5.0, 6.0});
  const Numbers index{2, 0, 2};
  Owned<T> y(3, 2, T(99)), dx(3, 2, T(10));
  ops::gather_rows(cpu, x.view(), index.data(), y.view());
  BOOST_TEST((y.values == std::vector<T>{5, 6, 1, 2, 5, 6}));
  ops::RowGroups<device::Cpu> groups(cpu);
  groups.assign(index.data(), 3, 3);
  const Owned<T> dy(3, 2, std::vector{1.0, 2.0, 3.0, 4.0, 5.0, 6.0});
  ops::scatter_rows_accumulate<T>(cpu, groups, dy.view(), dx.view());
  BOOST_TEST((dx.values == std::vector<T>{13, 14, 10, 10, 16, 18}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(hand_values_of_a_routing, T, Types) {
  Routed routed;
  const Owned<T> x(3, 1, std::vector{1.0, 2.0, 3.0}),
      gates(3, 2, std::vector{0.25, 0.75, 0.5, 0.5, 1.0, -1.0});
  Owned<T> in(6, 1), y(3, 1, T(99)), d_gates(3, 2, T(99)), d_out(6, 1);
  ops::gather_rows<2>(routed.cpu, x.view(), routed.groups.members(), in.view());
  BOOST_TEST((in.values == std::vector<T>{1, 2, 2, 3, 1, 3}));  // expert 0: rows 0 1, 1: 1 2, 2: 0 2
  const Owned<T> out(6, 1, std::vector{10.0, 20.0, 30.0, 40.0, 50.0, 60.0});
  ops::combine_rows<2>(routed.cpu, out.view(), routed.groups.places(), y.view(), gates.view());
  BOOST_TEST((y.values == std::vector<T>{T(12.5 + 7.5), 25, 20}));
  ops::combine_rows<2>(routed.cpu, out.view(), routed.groups.places(), y.view());
  BOOST_TEST((y.values == std::vector<T>{60, 50, 100}));
  const Owned<T> dy(3, 1, std::vector{1.0, 10.0, 100.0});
  ops::combine_rows_backward_weights<2>(routed.cpu, dy.view(), out.view(), routed.groups.places(),
                                        d_gates.view());
  BOOST_TEST((d_gates.values == std::vector<T>{50, 10, 200, 300, 6000, 4000}));
  ops::gather_rows<2>(routed.cpu, dy.view(), routed.groups.members(), d_out.view(), gates.view());
  BOOST_TEST((d_out.values == std::vector<T>{T(0.75), 5, 5, -100, T(0.25), 100}));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(against_the_definition, T, Types) {
  device::Cpu cpu;
  for (const auto& [rows, n, cols] :
       {std::array<std::size_t, 3>{1, 1, 1}, {7, 40, 33}, {300, 900, 8}, {5, 0, 3}}) {
    constexpr std::size_t k = 3;
    const auto x = random_matrix<T>(rows, cols, 1), dy = random_matrix<T>(n, cols, 2),
               weights = random_matrix<T>(rows, k, 3), results = random_matrix<T>(n + 1, cols, 4),
               d = random_matrix<T>(rows, cols, 5);
    const auto index = random_index(n, rows, 6), entries = random_index(n, rows * k, 7),
               at = random_index(rows * k, n + 1, 8);
    ops::RowGroups<device::Cpu> groups(cpu);
    groups.assign(index.data(), n, rows);
    Owned<T> y(n, cols), y_weighted(n, cols), dx(rows, cols, T(1)), combined(rows, cols), plain(rows, cols),
        d_weights(rows, k);
    ops::gather_rows(cpu, x.view(), index.data(), y.view());
    ops::gather_rows<k>(cpu, x.view(), entries.data(), y_weighted.view(), weights.view());
    ops::scatter_rows_accumulate<T>(cpu, groups, dy.view(), dx.view());
    ops::combine_rows<k>(cpu, results.view(), at.data(), combined.view(), weights.view());
    ops::combine_rows<k>(cpu, results.view(), at.data(), plain.view());
    ops::combine_rows_backward_weights<k>(cpu, d.view(), results.view(), at.data(), d_weights.view());

    Owned<double> y_expected(n, cols), weighted_expected(n, cols), dx_expected(rows, cols, 1),
        combined_expected(rows, cols), plain_expected(rows, cols), d_weights_expected(rows, k);
    for (std::size_t c = 0; c < cols; ++c) {
      for (std::size_t i = 0; i < n; ++i) {
        const auto r = static_cast<std::size_t>(index[i]), e = static_cast<std::size_t>(entries[i]);
        y_expected(i, c) = static_cast<double>(x(r, c));
        weighted_expected(i, c) = static_cast<double>(weights.values[e]) * static_cast<double>(x(e / k, c));
        dx_expected(r, c) += static_cast<double>(dy(i, c));
      }
      for (std::size_t e = 0; e < rows * k; ++e) {
        const auto value = static_cast<double>(results(static_cast<std::size_t>(at[e]), c));
        plain_expected(e / k, c) += value;
        combined_expected(e / k, c) += static_cast<double>(weights.values[e]) * value;
        d_weights_expected.values[e] += static_cast<double>(d(e / k, c)) * value;
      }
    }
    DEMIX_CHECK_CLOSE(y.values, y_expected.values, 0);
    DEMIX_CHECK_CLOSE(y_weighted.values, weighted_expected.values, Tolerance<T>::elementwise);
    DEMIX_CHECK_CLOSE(dx.values, dx_expected.values, Tolerance<T>::reduction);
    DEMIX_CHECK_CLOSE(combined.values, combined_expected.values, Tolerance<T>::elementwise);
    DEMIX_CHECK_CLOSE(plain.values, plain_expected.values, Tolerance<T>::elementwise);
    DEMIX_CHECK_CLOSE(d_weights.values, d_weights_expected.values, Tolerance<T>::reduction);
  }
}

// y = combine(gather(x)^2, gates): what a mixture does, with experts that square.
BOOST_AUTO_TEST_CASE(gradients_equal_finite_differences) {
  Routed routed;
  const std::size_t cols = 5;
  auto x = random_values(3 * cols, 1), gates = random_values(6, 2);
  const auto weights = random_values(3 * cols, 3);
  Owned<double> in(6, cols), out(6, cols), y(3, cols), d_gates(3, 2), dx(3, cols);
  const auto loss = [&] {
    ops::gather_rows<2>(routed.cpu, Matrix<const double>(x.data(), 3, cols), routed.groups.members(),
                        in.view());
    for (std::size_t i = 0; i < in.values.size(); ++i) out.values[i] = in.values[i] * in.values[i];
    ops::combine_rows<2>(routed.cpu, out.view(), routed.groups.places(), y.view(),
                         Matrix<const double>(gates.data(), 3, 2));
    return weighted_sum(y.values, weights);
  };
  const auto dx_expected = finite_differences(x, loss), d_gates_expected = finite_differences(gates, loss);
  loss();
  const Matrix<const double> dy(weights.data(), 3, cols);
  ops::combine_rows_backward_weights<2>(routed.cpu, dy, out.view(), routed.groups.places(), d_gates.view());
  ops::gather_rows<2>(routed.cpu, dy, routed.groups.members(), out.view(),
                      Matrix<const double>(gates.data(), 3, 2));
  for (std::size_t i = 0; i < in.values.size(); ++i) in.values[i] *= 2 * out.values[i];
  ops::combine_rows<2>(routed.cpu, in.view(), routed.groups.places(), dx.view());
  DEMIX_CHECK_CLOSE(dx.values, dx_expected, Tolerance<double>::finite_difference);
  DEMIX_CHECK_CLOSE(d_gates.values, d_gates_expected, Tolerance<double>::finite_difference);
}

BOOST_AUTO_TEST_CASE(an_index_out_of_range_makes_its_row_nan_and_no_other) {
  device::Cpu cpu;
  const auto x = random_matrix<float>(4, 3, 1), results = random_matrix<float>(2, 3, 2);
  const Numbers index{0, 4, -1, 3, 2000000000};
  Owned<float> y(5, 3);
  ops::gather_rows(cpu, x.view(), index.data(), y.view());
  for (std::size_t r = 0; r < 5; ++r) BOOST_TEST(is_nan(y, r) == (r == 1 || r == 2 || r == 4));
  const Numbers entries{7, 8, 0, 1, 2};  // of 4 rows with two each
  ops::gather_rows<2>(cpu, x.view(), entries.data(), y.view());
  for (std::size_t r = 0; r < 5; ++r) BOOST_TEST(is_nan(y, r) == (r == 1));
  const Numbers at{0, 1, 0, 2, -1, 0, 1, 1};
  Owned<float> combined(4, 3), d_weights(4, 2);
  ops::combine_rows<2>(cpu, results.view(), at.data(), combined.view());
  for (std::size_t r = 0; r < 4; ++r) BOOST_TEST(is_nan(combined, r) == (r == 1 || r == 2));
  ops::combine_rows_backward_weights<2>(cpu, x.view(), results.view(), at.data(), d_weights.view());
  for (std::size_t e = 0; e < 8; ++e) BOOST_TEST(std::isnan(d_weights.values[e]) == (e == 3 || e == 4));
}

BOOST_AUTO_TEST_CASE(shapes) {
  Routed routed;
  auto& [cpu, chosen, groups] = routed;
  Owned<float> x(3, 4), narrow(3, 3), in(6, 4), gates(3, 2), few(2, 2);
  const Matrix<float> strided(in.values.data(), 3, 4, 8);
  const auto* index = groups.members();
  BOOST_CHECK_THROW(ops::gather_rows<2>(cpu, narrow.view(), index, in.view()), Error);
  BOOST_CHECK_THROW(ops::gather_rows<2>(cpu, x.view(), index, in.view(), few.view()), Error);
  BOOST_CHECK_THROW(ops::gather_rows<2>(cpu, strided, index, in.view()), Error);
  BOOST_CHECK_THROW(ops::scatter_rows_accumulate<float>(cpu, groups, x.view(), x.view()), Error);
  BOOST_CHECK_THROW(ops::scatter_rows_accumulate<float>(cpu, groups, in.view(), narrow.view()), Error);
  BOOST_CHECK_THROW(ops::scatter_rows_accumulate<float>(cpu, groups, in.view(), in.view()), Error);
  BOOST_CHECK_THROW(ops::combine_rows<2>(cpu, in.view(), index, narrow.view()), Error);
  BOOST_CHECK_THROW(ops::combine_rows<2>(cpu, in.view(), index, x.view(), few.view()), Error);
  BOOST_CHECK_THROW(ops::combine_rows<2>(cpu, in.view(), index, strided), Error);
  BOOST_CHECK_THROW(ops::combine_rows_backward_weights<2>(cpu, narrow.view(), in.view(), index, gates.view()),
                    Error);
  BOOST_CHECK_THROW(ops::combine_rows_backward_weights<2>(cpu, x.view(), in.view(), index, few.view()),
                    Error);
}

BOOST_AUTO_TEST_SUITE_END()
