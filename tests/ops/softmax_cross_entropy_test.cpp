#include "demix/ops/softmax_cross_entropy.hpp"

#include <boost/mpl/list.hpp>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Types = boost::mpl::list<float, double>;

namespace {

template <class T>
struct Result {
  std::vector<T> losses, losses_again, gradient;
};

/// Both forms: the losses of the one must be those of the other.
template <class T>
Result<T> run(std::size_t cols, const std::vector<double>& logits, const std::vector<Token>& targets) {
  device::Cpu cpu;
  Result<T> result{std::vector<T>(targets.size(), T(99)), std::vector<T>(targets.size(), T(99)),
                   cast<T>(logits)};
  const Matrix<T> z(result.gradient.data(), targets.size(), cols);
  ops::cross_entropy(cpu, z, targets.data(), Matrix<T>(result.losses.data(), 1, targets.size()));
  ops::cross_entropy_with_gradient(cpu, z, targets.data(),
                                   Matrix<T>(result.losses_again.data(), 1, targets.size()));
  return result;
}

/// The definition, in long double.
Result<double> naive(std::size_t cols, const std::vector<double>& logits, const std::vector<Token>& targets) {
  Result<double> result{std::vector<double>(targets.size()), {}, std::vector<double>(logits.size())};
  for (std::size_t r = 0; r < targets.size(); ++r) {
    if (targets[r] == pad_token) continue;
    const double* z = logits.data() + r * cols;
    const long double highest = *std::max_element(z, z + cols);
    long double sum = 0;
    for (std::size_t c = 0; c < cols; ++c) sum += std::exp(z[c] - highest);
    result.losses[r] = static_cast<double>(highest + std::log(sum) - z[targets[r]]);
    for (std::size_t c = 0; c < cols; ++c)
      result.gradient[r * cols + c] =
          static_cast<double>(std::exp(z[c] - highest) / sum) - (static_cast<Token>(c) == targets[r]);
  }
  return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(softmax_cross_entropy)

BOOST_AUTO_TEST_CASE_TEMPLATE(hand_values, T, Types) {
  const auto equal = run<T>(4, {5, 5, 5, 5}, {3});
  BOOST_TEST(equal.losses[0] == std::log(T(4)), boost::test_tools::tolerance(T(Tolerance<T>::elementwise)));
  DEMIX_CHECK_CLOSE(equal.gradient, (std::vector{0.25, 0.25, 0.25, -0.75}), Tolerance<T>::elementwise);
  const auto two = run<T>(3, {std::log(3.0), -1e4, 0}, {0});  // probabilities 3/4, 0, 1/4
  BOOST_TEST(two.losses[0] == std::log(T(4) / T(3)),
             boost::test_tools::tolerance(T(Tolerance<T>::elementwise)));
  DEMIX_CHECK_CLOSE(two.gradient, (std::vector{-0.25, 0.0, 0.25}), Tolerance<T>::elementwise);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(against_the_definition, T, Types) {
  for (const std::size_t rows : {0, 1, 33})
    for (const std::size_t cols : {2, 3, 31, 64, 257, 5001})
      for (const double scale : {1.0, 30.0}) {
        auto logits = random_values(rows * cols, 1);
        for (auto& z : logits) z = static_cast<double>(static_cast<T>(z * scale));
        std::vector<Token> targets(rows);
        for (std::size_t r = 0; r < rows; ++r) targets[r] = static_cast<Token>(r * 7 % cols);
        if (rows > 2) targets[2] = pad_token;
        const auto result = run<T>(cols, logits, targets);
        const auto expected = naive(cols, logits, targets);
        // A loss near 0 is a difference of logits, a gradient near 0 one of probabilities.
        BOOST_TEST(relative_error(result.losses, expected.losses, scale) <= Tolerance<T>::reduction);
        BOOST_TEST((result.losses == result.losses_again));
        BOOST_TEST(relative_error(result.gradient, expected.gradient, 1) <= Tolerance<T>::reduction);
      }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(huge_logits, T, Types) {
  const auto right = run<T>(3, {1e4, -1e4, 0}, {0}), wrong = run<T>(3, {1e4, -1e4, 0}, {2});
  BOOST_TEST(std::fabs(right.losses[0]) < T(1e-6));
  BOOST_TEST(wrong.losses[0] == T(1e4));
  DEMIX_CHECK_CLOSE(wrong.gradient, (std::vector{1.0, 0.0, -1.0}), Tolerance<T>::elementwise);
  for (const double z : {1e4, -1e4}) {
    const auto shifted = run<T>(3, {z, z, z}, {2});
    BOOST_TEST(shifted.losses[0] == std::log(T(3)), boost::test_tools::tolerance(T(1e-3)));
    DEMIX_CHECK_CLOSE(shifted.gradient, (std::vector{1 / 3.0, 1 / 3.0, -2 / 3.0}), Tolerance<T>::elementwise);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(ignored_targets_have_neither_loss_nor_gradient, T, Types) {
  const auto result = run<T>(3, {1, 2, 3, 4, 5, 6}, {pad_token, 0});
  BOOST_TEST(result.losses[0] == T(0));
  BOOST_TEST(result.losses[1] > T(2));
  for (std::size_t c = 0; c < 3; ++c) BOOST_TEST(result.gradient[c] == T(0));
  BOOST_TEST(result.gradient[3] < T(-0.8));
}

BOOST_AUTO_TEST_CASE(gradient_against_finite_differences) {
  const Threads threads(1);  // many small calls
  auto logits = random_values(3 * 9, 5);
  const std::vector<Token> targets{8, pad_token, 0};
  const auto numeric = finite_differences(logits, [&] {
    const auto losses = run<double>(9, logits, targets).losses;
    return losses[0] + losses[1] + losses[2];
  });
  DEMIX_CHECK_CLOSE((run<double>(9, logits, targets).gradient), numeric,
                    Tolerance<double>::finite_difference);
}

BOOST_AUTO_TEST_CASE(shapes) {
  device::Cpu cpu;
  const std::vector<Token> targets{0, 2, 0};
  Owned<float> logits(3, 4), short_losses(1, 2), losses(1, 3);
  BOOST_CHECK_THROW(ops::cross_entropy(cpu, logits.view(), targets.data(), short_losses.view()), Error);
  BOOST_CHECK_THROW(ops::cross_entropy_with_gradient(cpu, logits.view(), targets.data(), short_losses.view()),
                    Error);
  BOOST_CHECK_THROW(ops::cross_entropy(cpu, logits.view().slice_cols(0, 3), targets.data(), losses.view()),
                    Error);
  BOOST_CHECK_THROW(
      ops::cross_entropy_with_gradient(cpu, logits.view().slice_cols(0, 3), targets.data(), losses.view()),
      Error);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(not_a_number_in_any_column_reaches_the_loss, T, Types) {
  const std::size_t cols = 37;  // whole vectors and a rest
  for (std::size_t at = 0; at < cols; ++at) {
    std::vector<double> logits(cols, 1.0);
    logits[at] = std::nan("");
    const auto result = run<T>(cols, logits, {3});
    BOOST_REQUIRE(std::isnan(result.losses[0]));
    BOOST_REQUIRE(std::isnan(result.losses_again[0]));
    for (const T g : result.gradient) BOOST_REQUIRE(std::isnan(g));
    BOOST_REQUIRE(run<T>(cols, logits, {pad_token}).losses[0] == 0);
  }
}

BOOST_AUTO_TEST_SUITE_END()
