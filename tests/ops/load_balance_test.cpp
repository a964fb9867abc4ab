#include "demix/ops/load_balance.hpp"

#include <boost/mpl/list.hpp>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Types = boost::mpl::list<float, double>;
using Numbers = std::vector<std::int32_t>;

namespace {

/// n alpha E sum_e f_e P_e.
double reference(const std::vector<double>& logits, const Numbers& chosen, std::size_t rows,
                 std::size_t experts, double alpha) {
  double loss = 0;
  for (std::size_t e = 0; e < experts; ++e) {
    double f = 0, p = 0;
    for (const std::int32_t c : chosen) f += static_cast<std::size_t>(c) == e;
    for (std::size_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (std::size_t k = 0; k < experts; ++k) sum += std::exp(logits[r * experts + k]);
      p += std::exp(logits[r * experts + e]) / sum;
    }
    loss += f / static_cast<double>(chosen.size()) * p / static_cast<double>(rows);
  }
  return loss * alpha * static_cast<double>(experts * rows);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(load_balance)

// Without preference n alpha, here 3 * 0.5; with all rows sent where all probability is, E times as much.
BOOST_AUTO_TEST_CASE_TEMPLATE(hand_values, T, Types) {
  device::Cpu cpu;
  device::Array<device::Cpu, T> scratch(cpu);
  double loss = 100;
  Owned<T> even(3, 2), peaked(3, 2, std::vector{80.0, 0.0, 80.0, 0.0, 80.0, 0.0});
  ops::load_balance_with_gradient<2>(cpu, even.view(), Numbers{0, 1, 1, 0, 0, 1}.data(), 0.5, &loss, scratch);
  BOOST_TEST(loss == 101.5);
  BOOST_TEST((even.values == std::vector<T>(6, T(0))));
  ops::load_balance_with_gradient<1>(cpu, peaked.view(), Numbers{0, 0, 0}.data(), 0.5, &loss, scratch);
  BOOST_TEST(std::fabs(loss - 104.5) < 1e-5);
  // p = 1/2 each, all chose the first: slope (1, 0), gradient p (slope - 1/2).
  Owned<T> one_sided(1, 2);
  ops::load_balance_with_gradient<1>(cpu, one_sided.view(), Numbers{0}.data(), 0.5, nullptr, scratch);
  BOOST_TEST((one_sided.values == std::vector<T>{T(0.25), T(-0.25)}));
}

BOOST_AUTO_TEST_CASE(loss_equals_the_definition_and_gradient_its_finite_differences) {
  device::Cpu cpu;
  device::Array<device::Cpu, double> scratch(cpu);
  for (const auto& [rows, experts] : {std::array<std::size_t, 2>{2, 3}, {30, 5}}) {
    auto logits = random_values(rows * experts, 1);
    Numbers chosen(2 * rows);
    for (std::size_t i = 0; i < chosen.size(); ++i) chosen[i] = static_cast<std::int32_t>(i * i % experts);
    const auto expected = finite_differences(
        logits, [&, n = rows, e = experts] { return reference(logits, chosen, n, e, 0.3); });
    double loss = 0;
    Owned<double> gradient(rows, experts, logits);
    ops::load_balance_with_gradient<2>(cpu, gradient.view(), chosen.data(), 0.3, &loss, scratch);
    BOOST_TEST(std::fabs(loss - reference(logits, chosen, rows, experts, 0.3)) < 1e-13);
    DEMIX_CHECK_CLOSE(gradient.values, expected, Tolerance<double>::finite_difference);
  }
}

BOOST_AUTO_TEST_CASE(no_rows_add_nothing_and_strided_logits_are_refused) {
  device::Cpu cpu;
  device::Array<device::Cpu, float> scratch(cpu);
  double loss = 1;
  Owned<float> logits(4, 3);
  ops::load_balance_with_gradient<2>(cpu, logits.view().slice_rows(1, 1), Numbers{}.data(), 0.5, &loss,
                                     scratch);
  BOOST_TEST(loss == 1);
  BOOST_CHECK_THROW(ops::load_balance_with_gradient<1>(cpu, logits.view().slice_cols(0, 2), Numbers(4).data(),
                                                       0.5, &loss, scratch),
                    Error);
}

BOOST_AUTO_TEST_SUITE_END()
