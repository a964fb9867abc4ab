#include "policies/rms_norm.hpp"

#include <boost/mpl/list.hpp>

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;
using policies::RMSNorm;
using Types = boost::mpl::list<float, double>;

static_assert(NormPolicy<RMSNorm, device::Cpu, Fp32> && !FeedForwardPolicy<RMSNorm, device::Cpu, Fp32>);

namespace {

using Model = LanguageModel<device::Cpu, Fp64, CausalAttention, RMSNorm, DEMixFFN<ops::Gelu>, DomainToken>;

}  // namespace

BOOST_AUTO_TEST_SUITE(rms_norm)

// mean(x^2) of (1, 7) is 25, so rms is 5.
BOOST_AUTO_TEST_CASE(hand_value) {
  device::Cpu cpu;
  const Owned<double> x(2, 2, std::vector{1.0, 7.0, 0.0, 0.0}), gain(1, 2, std::vector{5.0, -10.0});
  Owned<double> y(2, 2, 99), rstd(1, 2);
  cpu.rows(2, policies::RMSNormForward<double>{x.values.data(), gain.values.data(), y.values.data(),
                                               rstd.values.data(), 2});
  DEMIX_CHECK_CLOSE(y.values, (std::vector{1.0, -14.0, 0.0, 0.0}), 1e-6);  // of eps, 4e-7 of 25
  BOOST_TEST(std::fabs(rstd.values[1] - 1 / std::sqrt(1e-5)) < 1e-9);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(equals_the_definition, T, Types) {
  device::Cpu cpu;
  for (const auto& [rows, cols] : {std::array<std::size_t, 2>{1, 1}, {3, 33}, {40, 256}}) {
    const auto x = random_matrix<T>(rows, cols, 1), gain = random_matrix<T>(1, cols, 2);
    Owned<T> y(rows, cols), rstd(1, rows);
    cpu.rows(rows, policies::RMSNormForward<T>{x.values.data(), gain.values.data(), y.values.data(),
                                               rstd.values.data(), cols});
    Owned<double> expected(rows, cols);
    for (std::size_t r = 0; r < rows; ++r) {
      double squares = 0;
      for (std::size_t c = 0; c < cols; ++c)
        squares += static_cast<double>(x(r, c)) * static_cast<double>(x(r, c));
      for (std::size_t c = 0; c < cols; ++c)
        expected(r, c) = static_cast<double>(gain(0, c)) * static_cast<double>(x(r, c)) /
                         std::sqrt(squares / static_cast<double>(cols) + 1e-5);
    }
    DEMIX_CHECK_CLOSE(y.values, expected.values, Tolerance<T>::reduction);
  }
}

BOOST_AUTO_TEST_CASE(gradients_equal_finite_differences) { check_gradients_of_all_configurations<Model>(); }

BOOST_AUTO_TEST_CASE(a_model_with_it_trains) {
  device::Cpu cpu(1);
  Model model(cpu, tiny_config(), three_domains, Seed{1});
  const double start = descend(model, tiny_batch(), 0.3);
  double loss = start;
  for (int step = 0; step < 60; ++step) loss = descend(model, tiny_batch(), 0.3);
  BOOST_TEST(loss < 0.5 * start);
}

BOOST_AUTO_TEST_SUITE_END()
