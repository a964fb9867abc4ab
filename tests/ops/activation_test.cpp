#include "demix/ops/activation.hpp"

#include <boost/mpl/list.hpp>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Activations = boost::mpl::list<ops::Relu, ops::Gelu, ops::GeluTanh>;

namespace {

/// Minimal archetype of the Activation concept, as a user would write one.
struct Square {
  static constexpr const char* name = "square";
  template <class T>
  static T value(T x) {
    return x * x;
  }
  template <class T>
  static T derivative(T x) {
    return 2 * x;
  }
};
static_assert(ops::Activation<Square>);
struct Nameless {
  static float value(float x) { return x; }
};
static_assert(!ops::Activation<Nameless>);

double exact(ops::Relu, double x) { return std::max(x, 0.0); }
double exact(ops::Gelu, double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double exact(ops::GeluTanh, double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

template <class A, class T>
std::vector<T> forward(std::size_t rows, std::size_t cols, const std::vector<T>& x,
                       const std::vector<T>& bias, std::vector<T>& pre) {
  device::Cpu cpu;
  pre = x;
  std::vector<T> b = bias, y(x.size(), T(99));
  ops::bias_activation<A>(cpu, Matrix<T>(pre.data(), rows, cols), Matrix<T>(b.data(), 1, cols),
                          Matrix<T>(y.data(), rows, cols));
  return y;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(activation)

BOOST_AUTO_TEST_CASE(hand_values) {
  BOOST_TEST(ops::Relu::value(-2.0f) == 0.0f);
  BOOST_TEST(ops::Relu::value(2.0f) == 2.0f);
  BOOST_TEST(ops::Relu::derivative(0.0) == 0.0);
  BOOST_TEST(ops::Gelu::value(1.0) == 0.8413447460685429, boost::test_tools::tolerance(1e-14));
  BOOST_TEST(ops::Gelu::derivative(0.0) == 0.5);
  BOOST_TEST(ops::GeluTanh::value(1.0) == 0.8411919906082768, boost::test_tools::tolerance(1e-14));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(values_over_the_whole_range, A, Activations) {
  double worst = 0, worst_derivative = 0, worst_double = 0;
  for (double x = -30; x <= 30; x += 0.0037) {
    const auto f = static_cast<float>(x);
    const double reference = exact(A{}, static_cast<double>(f)), scale = std::max(1.0, std::fabs(reference));
    worst = std::max(worst, std::fabs(static_cast<double>(A::value(f)) - reference) / scale);
    worst_derivative = std::max(worst_derivative, std::fabs(static_cast<double>(A::derivative(f)) -
                                                            A::derivative(static_cast<double>(f))));
    worst_double = std::max(worst_double, std::fabs(A::value(static_cast<double>(f)) - reference) / scale);
  }
  BOOST_TEST(worst < Tolerance<float>::elementwise);
  BOOST_TEST(worst_derivative < 2 * Tolerance<float>::elementwise);
  BOOST_TEST(worst_double < Tolerance<double>::elementwise);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(huge_pre_activations, A, Activations) {
  for (const float x : {1e4f, 1e10f}) {
    BOOST_TEST(A::value(x) == x);
    BOOST_TEST(std::fabs(A::value(-x)) <= x * 1e-7f);
  }
  BOOST_TEST(A::derivative(1e4f) == 1.0f, boost::test_tools::tolerance(1e-6f));
  BOOST_TEST(std::fabs(A::derivative(-1e4f)) < 1e-6f);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(not_a_number_stays_so_in_every_column, A, Activations) {
  const std::size_t cols = 37;  // whole vectors and a rest
  for (std::size_t at = 0; at < cols; ++at)
    for (const float nan : {std::nanf(""), -std::nanf("")}) {
      std::vector<float> x(cols, 1.0f), pre;
      x[at] = nan;
      const auto y = forward<A>(1, cols, x, std::vector<float>(cols, 0.0f), pre);
      for (std::size_t c = 0; c < cols; ++c) BOOST_REQUIRE(std::isnan(y[c]) == (c == at));
    }
  BOOST_TEST(std::isnan(A::value(std::nan(""))));
}

BOOST_AUTO_TEST_CASE(relu_of_infinities) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  BOOST_TEST(ops::Relu::value(-infinity) == 0.0f);
  BOOST_TEST(ops::Relu::value(infinity) == infinity);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(forward_and_backward_against_finite_differences, A, Activations) {
  const Threads threads(1);  // many small calls
  device::Cpu cpu;
  for (const auto& [rows, cols] : {std::pair{1u, 1u}, {3u, 17u}, {2u, 65u}}) {
    auto x = random_values(rows * cols, 1), bias = random_values(cols, 2);
    const auto weights = random_values(rows * cols, 3);
    for (auto& v : x) v *= 3;
    std::vector<double> pre, ignored;
    const auto y = forward<A>(rows, cols, x, bias, pre);
    for (std::size_t i = 0; i < x.size(); ++i) {
      BOOST_TEST(pre[i] == x[i] + bias[i % cols]);
      BOOST_TEST(y[i] == exact(A{}, pre[i]), boost::test_tools::tolerance(1e-12));
    }
    auto gradient = weights;
    ops::activation_backward<A>(cpu, Matrix<double>(pre.data(), rows, cols),
                                Matrix<double>(gradient.data(), rows, cols));
    const auto numeric = finite_differences(
        x, [&, n = rows, c = cols] { return weighted_sum(forward<A>(n, c, x, bias, ignored), weights); });
    DEMIX_CHECK_CLOSE(gradient, numeric, Tolerance<double>::finite_difference);

    std::vector<float> pre_float;
    const auto y_float = forward<A>(rows, cols, cast<float>(x), cast<float>(bias), pre_float);
    auto gradient_float = cast<float>(weights);
    ops::activation_backward<A>(cpu, Matrix<float>(pre_float.data(), rows, cols),
                                Matrix<float>(gradient_float.data(), rows, cols));
    DEMIX_CHECK_CLOSE(y_float, y, Tolerance<float>::elementwise);
    DEMIX_CHECK_CLOSE(gradient_float, gradient, 2 * Tolerance<float>::elementwise);
  }
}

BOOST_AUTO_TEST_CASE(a_user_written_activation) {
  std::vector<float> pre;
  BOOST_TEST((forward<Square>(1, 2, std::vector{1.0f, -4.0f}, std::vector{2.0f, 1.0f}, pre) ==
              std::vector{9.0f, 9.0f}));
}

BOOST_AUTO_TEST_CASE(shapes) {
  device::Cpu cpu;
  Owned<float> pre(3, 4), y(3, 4), narrow(3, 3), bias(1, 4), empty(0, 4), empty_y(0, 4);
  BOOST_CHECK_THROW(ops::bias_activation<ops::Relu>(cpu, pre.view(), bias.view(), narrow.view()), Error);
  BOOST_CHECK_THROW(ops::bias_activation<ops::Relu>(cpu, pre.view(), narrow.view(), y.view()), Error);
  BOOST_CHECK_THROW(ops::bias_activation<ops::Relu>(cpu, pre.view().slice_cols(0, 3),
                                                    bias.view().slice_cols(0, 3), narrow.view()),
                    Error);
  BOOST_CHECK_THROW(ops::activation_backward<ops::Relu>(cpu, pre.view(), narrow.view()), Error);
  BOOST_CHECK_THROW(ops::activation_backward<ops::Relu>(cpu, pre.view().slice_cols(0, 3), narrow.view()),
                    Error);
  ops::bias_activation<ops::Relu>(cpu, empty.view(), bias.view(), empty_y.view());
}

BOOST_AUTO_TEST_CASE(a_choice_is_the_named_one_of_a_list_or_the_only_one) {
  const auto at_minus_one = [](const auto& choice) {
    double value = 0;
    choice.call([&]<class A>() { value = A::value(-1.0); });
    return value;
  };
  using All = ops::ActivationChoice<ops::Activations>;
  BOOST_TEST(All::names() == (std::vector<std::string>{"relu", "gelu", "gelu_tanh"}),
             boost::test_tools::per_element());
  BOOST_TEST(at_minus_one(All("relu")) == ops::Relu::value(-1.0));
  BOOST_TEST(at_minus_one(All("gelu")) == ops::Gelu::value(-1.0));
  BOOST_TEST(at_minus_one(All("gelu_tanh")) == ops::GeluTanh::value(-1.0));
  BOOST_TEST(All("gelu").name() == "gelu");
  BOOST_CHECK_THROW(All("swish"), UsageError);
  BOOST_CHECK_THROW(All(""), UsageError);
  using One = ops::ActivationChoice<ops::Gelu>;
  BOOST_TEST(at_minus_one(One("")) == ops::Gelu::value(-1.0));
  BOOST_TEST(One("gelu").name() == "gelu");
  BOOST_CHECK_THROW(One("relu"), UsageError);
}

BOOST_AUTO_TEST_SUITE_END()
