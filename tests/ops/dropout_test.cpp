#include "demix/ops/dropout.hpp"

#include <boost/mpl/list.hpp>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Types = boost::mpl::list<float, double>;

namespace {

/// dropout(1) everywhere: the factors themselves.
template <class T>
std::vector<T> factors(const ops::Dropout& dropout, std::size_t rows = 64, std::size_t cols = 256) {
  device::Cpu cpu;
  Owned<T> x(rows, cols, T(1)), y(rows, cols, T(99));
  ops::dropout_scale(cpu, x.view(), dropout, y.view());
  return y.values;
}

double agreement(const std::vector<float>& a, const std::vector<float>& b) {
  std::size_t same = 0;
  for (std::size_t i = 0; i < a.size(); ++i) same += (a[i] == 0) == (b[i] == 0);
  return static_cast<double>(same) / static_cast<double>(a.size());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(dropout)

BOOST_AUTO_TEST_CASE_TEMPLATE(zeroes_the_stated_share_and_keeps_the_mean, T, Types) {
  for (const float p : {0.1f, 0.5f, 0.9f}) {
    const auto values = factors<T>({p, Seed{3}, 1, 2}, 512, 512);
    const T kept = static_cast<T>(1.0f / (1.0f - p));
    std::size_t zeros = 0;
    for (const T v : values) {
      zeros += v == T(0);
      if (v != T(0) && v != kept) BOOST_ERROR("a factor is " << v << ", neither 0 nor " << kept);
    }
    const double n = static_cast<double>(values.size()), share = static_cast<double>(zeros) / n;
    BOOST_TEST(std::fabs(share - static_cast<double>(p)) <
               5 * std::sqrt(static_cast<double>(p * (1 - p)) / n));
  }
}

BOOST_AUTO_TEST_CASE(probability_zero_changes_nothing) {
  device::Cpu cpu;
  const auto branch = random_matrix<float>(3, 7, 1), residual = random_matrix<float>(3, 7, 2);
  Owned<float> y(3, 7);
  ops::dropout_residual(cpu, branch.view(), residual.view(), {}, y.view());
  for (std::size_t i = 0; i < y.values.size(); ++i)
    BOOST_TEST(y.values[i] == branch.values[i] + residual.values[i]);
  BOOST_TEST((factors<float>({0.0f, Seed{1}, 0, 0}, 5, 5) == std::vector<float>(25, 1.0f)));
}

BOOST_AUTO_TEST_CASE(a_function_of_seed_step_site_row_and_column_alone) {
  const ops::Dropout dropout{0.5f, Seed{7}, 11, 3};
  const auto mask = factors<float>(dropout);
  std::vector<float> one_thread;
  {
    const Threads threads(1);
    one_thread = factors<float>(dropout);
  }
  BOOST_TEST((mask == one_thread));
  BOOST_TEST((cast<double>(mask) == factors<double>(dropout)));
  // A narrower matrix sees the same columns, also where its last group of four is incomplete.
  const auto narrow = factors<float>(dropout, 64, 7);
  for (std::size_t r = 0; r < 64; ++r)
    for (std::size_t c = 0; c < 7; ++c) BOOST_TEST(narrow[r * 7 + c] == mask[r * 256 + c]);
}

BOOST_AUTO_TEST_CASE(independent_by_seed_step_and_site) {
  const auto mask = factors<float>({0.5f, Seed{7}, 11, 3});
  const ops::Dropout others[] = {{0.5f, Seed{7}, 3, 11},
                                 {0.5f, Seed{7}, 10, 2},
                                 {0.5f, Seed{8}, 11, 3},
                                 {0.5f, Seed{7}, 12, 3},
                                 {0.5f, Seed{7}, 11, 4},
                                 {0.5f, Seed{7}, 11 + 256, 3},
                                 {0.5f, Seed{7}, 11 + (1u << 24), 3},
                                 {0.5f, Seed{7 + (1ull << 32)}, 11, 3}};
  for (const auto& other : others) BOOST_TEST(std::fabs(agreement(mask, factors<float>(other)) - 0.5) < 0.02);
  // Neighbouring rows and columns are independent, too.
  std::vector<float> next_row(mask.begin() + 256, mask.end()), next_column(mask.begin() + 1, mask.end());
  next_row.resize(mask.size());
  next_column.resize(mask.size());
  BOOST_TEST(std::fabs(agreement(mask, next_row) - 0.5) < 0.02);
  BOOST_TEST(std::fabs(agreement(mask, next_column) - 0.5) < 0.02);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(forward_and_backward_use_one_mask, T, Types) {
  device::Cpu cpu;
  const ops::Dropout dropout{0.3f, Seed{5}, 2, 9};
  const auto branch = random_matrix<T>(9, 13, 1), residual = random_matrix<T>(9, 13, 2),
             dy = random_matrix<T>(9, 13, 3);
  Owned<T> y(9, 13), dx(9, 13), in_place = residual;
  ops::dropout_residual(cpu, branch.view(), residual.view(), dropout, y.view());
  ops::dropout_residual(cpu, branch.view(), in_place.view(), dropout, in_place.view());
  ops::dropout_scale(cpu, dy.view(), dropout, dx.view());
  const auto mask = factors<T>(dropout, 9, 13);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    BOOST_TEST(y.values[i] == residual.values[i] + mask[i] * branch.values[i],
               boost::test_tools::tolerance(T(1e-5)));
    BOOST_TEST(dx.values[i] == mask[i] * dy.values[i]);
  }
  BOOST_TEST((in_place.values == y.values));
}

BOOST_AUTO_TEST_CASE(shapes) {
  device::Cpu cpu;
  const ops::Dropout dropout{0.5f, Seed{1}, 0, 0};
  Owned<float> a(3, 4), b(3, 3), none(0, 4), column(5, 1, 1.0f), out(5, 1);
  BOOST_CHECK_THROW(ops::dropout_residual(cpu, b.view(), a.view(), dropout, a.view()), Error);
  BOOST_CHECK_THROW(ops::dropout_residual(cpu, a.view(), b.view(), dropout, a.view()), Error);
  BOOST_CHECK_THROW(ops::dropout_residual(cpu, a.view().slice_cols(0, 3), b.view(), dropout, b.view()),
                    Error);
  BOOST_CHECK_THROW(ops::dropout_scale(cpu, b.view(), dropout, a.view()), Error);
  ops::dropout_scale(cpu, none.view(), dropout, none.view());
  ops::dropout_scale(cpu, column.view(), dropout, out.view());
  for (const float v : out.values) BOOST_TEST((v == 0.0f || v == 2.0f));
}

BOOST_AUTO_TEST_SUITE_END()
