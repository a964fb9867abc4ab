#include "demix/ops/layer_norm.hpp"

#include <boost/mpl/list.hpp>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Types = boost::mpl::list<float, double>;

namespace {

template <class T>
struct Norm {
  std::size_t rows, cols;
  std::vector<T> x, gamma, beta, y, mean, rstd;

  Norm(std::size_t rows_, std::size_t cols_, const std::vector<double>& x_, const std::vector<double>& gamma_,
       const std::vector<double>& beta_)
      : rows(rows_),
        cols(cols_),
        x(cast<T>(x_)),
        gamma(cast<T>(gamma_)),
        beta(cast<T>(beta_)),
        y(x.size(), T(99)),
        mean(rows),
        rstd(rows) {
    ops::layer_norm(cpu, matrix(x), row(gamma), row(beta), T(1e-5), matrix(y), row(mean), row(rstd));
  }

  struct Gradients {
    std::vector<T> dx, dgamma, dbeta;
  };
  /// Gradients that start from `start` everywhere.
  Gradients backward(const std::vector<double>& dy_, T start) {
    auto dy = cast<T>(dy_);
    Gradients g{std::vector<T>(x.size(), start), std::vector<T>(cols, start), std::vector<T>(cols, start)};
    device::Array<device::Cpu, T> scratch(cpu);
    ops::layer_norm_backward_accumulate(cpu, matrix(dy), matrix(x), row(gamma), row(mean), row(rstd),
                                        matrix(g.dx), row(g.dgamma), row(g.dbeta), scratch);
    return g;
  }

  Matrix<T> matrix(std::vector<T>& v) { return {v.data(), rows, cols}; }
  static Matrix<T> row(std::vector<T>& v) { return {v.data(), 1, v.size()}; }

  device::Cpu cpu;
};

std::vector<double> naive(std::size_t rows, std::size_t cols, const std::vector<double>& x,
                          const std::vector<double>& gamma, const std::vector<double>& beta) {
  std::vector<double> y(x.size());
  for (std::size_t r = 0; r < rows; ++r) {
    double mean = 0, variance = 0;
    for (std::size_t c = 0; c < cols; ++c) mean += x[r * cols + c] / static_cast<double>(cols);
    for (std::size_t c = 0; c < cols; ++c)
      variance += std::pow(x[r * cols + c] - mean, 2) / static_cast<double>(cols);
    for (std::size_t c = 0; c < cols; ++c)
      y[r * cols + c] = (x[r * cols + c] - mean) / std::sqrt(variance + 1e-5) * gamma[c] + beta[c];
  }
  return y;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(layer_norm)

BOOST_AUTO_TEST_CASE_TEMPLATE(hand_value, T, Types) {
  const Norm<T> norm(1, 2, {1, 3}, {2, 2}, {10, 20});  // mean 2, variance 1
  const T unit = T(1) / std::sqrt(T(1.00001));
  DEMIX_CHECK_CLOSE(norm.y, (std::vector<T>{10 - 2 * unit, 20 + 2 * unit}), Tolerance<T>::elementwise);
  BOOST_TEST(norm.mean[0] == T(2));
  BOOST_TEST(norm.rstd[0] == unit, boost::test_tools::tolerance(T(Tolerance<T>::elementwise)));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(forward_against_the_definition, T, Types) {
  for (const std::size_t rows : {1, 2, 33})
    for (const std::size_t cols : {1, 3, 31, 64, 65, 256, 257}) {
      const auto x = random_values(rows * cols, 1), gamma = random_values(cols, 2),
                 beta = random_values(cols, 3);
      DEMIX_CHECK_CLOSE(Norm<T>(rows, cols, x, gamma, beta).y, naive(rows, cols, x, gamma, beta),
                        Tolerance<T>::reduction);
    }
}

BOOST_AUTO_TEST_CASE(a_large_mean_does_not_drown_the_variance) {
  auto x = random_values(512, 1);
  for (auto& v : x) v = std::round(v * 16) / 16 + 1000;  // exact in float
  const std::vector<double> ones(512, 1), zeros(512, 0);
  DEMIX_CHECK_CLOSE(Norm<float>(1, 512, x, ones, zeros).y, naive(1, 512, x, ones, zeros), 1e-3);
}

BOOST_AUTO_TEST_CASE(a_constant_row_gives_beta) {
  const Norm<float> norm(1, 5, std::vector<double>(5, 7.0), std::vector<double>(5, 3.0), {1, 2, 3, 4, 5});
  DEMIX_CHECK_CLOSE(norm.y, (std::vector{1, 2, 3, 4, 5}), Tolerance<float>::elementwise);
}

BOOST_AUTO_TEST_CASE(backward_against_finite_differences) {
  const Threads threads(1);  // many small calls
  for (const auto& [rows, cols] : {std::pair{1u, 3u}, {3u, 7u}, {35u, 5u}}) {
    auto x = random_values(rows * cols, 1), gamma = random_values(cols, 2), beta = random_values(cols, 3);
    const auto dy = random_values(rows * cols, 4);
    const auto loss = [&, n = rows, c = cols] {
      return weighted_sum(Norm<double>(n, c, x, gamma, beta).y, dy);
    };
    const auto g = Norm<double>(rows, cols, x, gamma, beta).backward(dy, 0);
    DEMIX_CHECK_CLOSE(g.dx, finite_differences(x, loss), Tolerance<double>::finite_difference);
    DEMIX_CHECK_CLOSE(g.dgamma, finite_differences(gamma, loss), Tolerance<double>::finite_difference);
    DEMIX_CHECK_CLOSE(g.dbeta, finite_differences(beta, loss), Tolerance<double>::finite_difference);
    const auto f = Norm<float>(rows, cols, x, gamma, beta).backward(dy, 0);
    DEMIX_CHECK_CLOSE(f.dx, g.dx, 4 * Tolerance<float>::reduction);
    DEMIX_CHECK_CLOSE(f.dgamma, g.dgamma, Tolerance<float>::reduction);
    DEMIX_CHECK_CLOSE(f.dbeta, g.dbeta, Tolerance<float>::reduction);
  }
}

BOOST_AUTO_TEST_CASE(every_gradient_accumulates) {
  Norm<double> norm(4, 6, random_values(24, 1), random_values(6, 2), random_values(6, 3));
  const auto from_zero = norm.backward(random_values(24, 4), 0),
             from_ten = norm.backward(random_values(24, 4), 10);
  for (const auto& [a, b] : {std::pair{from_zero.dx, from_ten.dx},
                             {from_zero.dgamma, from_ten.dgamma},
                             {from_zero.dbeta, from_ten.dbeta}})
    for (std::size_t i = 0; i < a.size(); ++i)
      BOOST_TEST(b[i] - 10 == a[i], boost::test_tools::tolerance(1e-10));
}

BOOST_AUTO_TEST_CASE(shapes) {
  device::Cpu cpu;
  device::Array<device::Cpu, float> scratch(cpu);
  Owned<float> x(3, 4), y(3, 4), narrow(3, 3), gain(1, 4), stat(1, 3), none(0, 4), no_stat(1, 0);
  const auto call = [&](auto x_, auto g, auto b, auto y_, auto m, auto r) {
    ops::layer_norm(cpu, x_.view(), g.view(), b.view(), 1e-5f, y_.view(), m.view(), r.view());
  };
  call(x, gain, gain, y, stat, stat);
  call(none, gain, gain, none, no_stat, no_stat);
  BOOST_CHECK_THROW(call(x, gain, gain, narrow, stat, stat), Error);
  BOOST_CHECK_THROW(call(x, stat, gain, y, stat, stat), Error);
  BOOST_CHECK_THROW(call(x, gain, stat, y, stat, stat), Error);
  BOOST_CHECK_THROW(call(x, gain, gain, y, gain, stat), Error);
  BOOST_CHECK_THROW(call(x, gain, gain, y, stat, gain), Error);
  BOOST_CHECK_THROW(ops::layer_norm(cpu, x.view().slice_cols(0, 3), stat.view(), stat.view(), 1e-5f,
                                    narrow.view(), stat.view(), stat.view()),
                    Error);
  const auto back = [&](auto dy, auto dx, auto dg, auto db) {
    ops::layer_norm_backward_accumulate(cpu, dy.view(), x.view(), gain.view(), stat.view(), stat.view(),
                                        dx.view(), dg.view(), db.view(), scratch);
  };
  back(y, y, gain, gain);
  BOOST_CHECK_THROW(back(narrow, y, gain, gain), Error);
  BOOST_CHECK_THROW(back(y, narrow, gain, gain), Error);
  BOOST_CHECK_THROW(back(y, y, stat, gain), Error);
  BOOST_CHECK_THROW(back(y, y, gain, stat), Error);
}

BOOST_AUTO_TEST_SUITE_END()
