#include "demix/optim/adam.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "optim/toy.hpp"

using namespace demix;

namespace {

/// The update in double, one parameter, as Loshchilov and Hutter 2019, algorithm 2, has it.
struct Reference {
  optim::AdamSettings settings;
  double x, m = 0, v = 0;

  void step(double g, double learning_rate, int t) {
    m = settings.beta1 * m + (1 - settings.beta1) * g;
    v = settings.beta2 * v + (1 - settings.beta2) * g * g;
    const double m_hat = m / (1 - std::pow(settings.beta1, t)), v_hat = v / (1 - std::pow(settings.beta2, t));
    x -= learning_rate * (m_hat / (std::sqrt(v_hat) + settings.eps) + settings.weight_decay * x);
  }
};

using Toy = testing::Toy<optim::Adam>;

}  // namespace

BOOST_AUTO_TEST_SUITE(adam)

BOOST_AUTO_TEST_CASE(the_first_update_moves_by_the_learning_rate_against_the_sign) {
  Toy toy(2, {0.9, 0.95, 0, 0});
  toy.g()[0] = 100;
  toy.g()[1] = -1e-3f;
  toy.step(1, 0.5, 1.0);
  BOOST_TEST(toy.x()[0] == -0.5f, boost::test_tools::tolerance(1e-6f));
  BOOST_TEST(toy.x()[1] == 0.5f, boost::test_tools::tolerance(1e-6f));
}

BOOST_AUTO_TEST_CASE(many_updates_follow_the_reference_in_every_region_and_chunk) {
  const std::size_t size = 2 * optim::adam_chunk + 7;
  const optim::AdamSettings settings;
  Toy toy(size, settings);
  const std::vector<std::size_t> watched{0, 1, optim::adam_chunk - 1, optim::adam_chunk, size - 1};
  std::vector<Reference> references;
  for (const auto i : watched) {
    toy.x()[i] = 0.1f * static_cast<float>(i % 11) - 0.5f;
    references.push_back({settings, toy.x()[i]});
  }
  toy.expert_x()[0] = 2;
  references.push_back({settings, 2});
  for (int t = 1; t <= 50; ++t) {
    const double learning_rate = 0.01 / t, scale = 0.3;
    const auto gradient = [&](std::size_t i) { return std::sin(0.7 * static_cast<double>(i) + t); };
    for (std::size_t i = 0; i < size; ++i) toy.g()[i] = static_cast<float>(gradient(i));
    toy.expert_g()[0] = static_cast<float>(gradient(5));
    toy.step(t, learning_rate, scale);
    for (std::size_t k = 0; k < watched.size(); ++k)
      references[k].step(scale * gradient(watched[k]), learning_rate, t);
    references.back().step(scale * gradient(5), learning_rate, t);
  }
  for (std::size_t k = 0; k < watched.size(); ++k)
    BOOST_TEST(toy.x()[watched[k]] == references[k].x, boost::test_tools::tolerance(1e-5));
  BOOST_TEST(toy.expert_x()[0] == references.back().x, boost::test_tools::tolerance(1e-5));
}

BOOST_AUTO_TEST_CASE(rates_near_1_follow_the_reference) {
  // What float makes of 1 - beta2: 1.0014e-5 for 0.99999, and 0 for 0.99999999.
  for (const double beta2 : {0.0, 0.95, 0.99999, 0.99999999})
    for (const double beta1 : {0.0, 0.9, 0.99999}) {
      const std::size_t size = 100;
      const optim::AdamSettings settings{beta1, beta2, 1e-7, 0.1};
      Toy toy(size, settings);
      std::vector<Reference> references;
      for (std::size_t i = 0; i < size; ++i) {
        toy.x()[i] = 0.02f * static_cast<float>(i) - 1.01f;
        references.push_back({settings, toy.x()[i]});
      }
      for (int t = 1; t <= 30; ++t) {
        for (std::size_t i = 0; i < size; ++i) {
          const float g = static_cast<float>(0.5 + std::sin(0.7 * static_cast<double>(i) + t));
          toy.g()[i] = g;
          references[i].step(static_cast<double>(g), 0.003, t);
        }
        toy.step(t, 0.003, 1.0);
      }
      double worst = 0;
      for (std::size_t i = 0; i < size; ++i)
        worst = std::max(worst, std::fabs(static_cast<double>(toy.x()[i]) - references[i].x));
      BOOST_TEST(worst < 2e-6, "beta1 " << beta1 << ", beta2 " << beta2 << ": an error of " << worst);
    }
}

BOOST_AUTO_TEST_CASE(an_eps_that_float_rounds_to_0_leaves_a_parameter_without_gradient_alone) {
  Toy toy(2, {0.9, 0.95, 1e-50, 0});
  toy.x()[0] = 1;
  toy.g()[1] = 1;
  toy.step(1, 0.5, 1.0);
  BOOST_TEST(toy.x()[0] == 1.0f);
  BOOST_TEST(toy.x()[1] == -0.5f, boost::test_tools::tolerance(1e-6f));
}

BOOST_AUTO_TEST_CASE(weight_decay_alone_shrinks) {
  Toy toy(1, {});
  toy.x()[0] = 1;
  toy.step(1, 0.5, 1.0);
  BOOST_TEST(toy.x()[0] == 0.95f, boost::test_tools::tolerance(1e-6f));
}

BOOST_AUTO_TEST_CASE(what_is_not_in_a_span_keeps_its_bits_and_what_is_follows_the_reference) {
  const std::size_t size = 3 * optim::adam_chunk;
  // Across a chunk's border, one number, and the last; the expert's region is frozen whole.
  const std::vector<optim::ParameterSpan> trained{
      {RegionId::shared(), optim::adam_chunk - 3, optim::adam_chunk + 5},
      {RegionId::shared(), 17, 1},
      {RegionId::shared(), size - 1, 1}};
  const auto is_trained = [&](std::size_t i) {
    for (const auto& [region, first, count] : trained)
      if (i >= first && i < first + count) return true;
    return false;
  };
  const optim::AdamSettings settings;
  Toy toy(size, settings, trained);
  const auto start = [](std::size_t i) { return 0.1f * static_cast<float>(i % 13) - 0.6f; };
  for (std::size_t i = 0; i < size; ++i) toy.x()[i] = start(i);
  toy.expert_x()[0] = -0.0f;
  std::vector<Reference> references;
  for (std::size_t i = 0; i < size; ++i) references.push_back({settings, start(i)});
  toy.expert_g()[0] = std::numeric_limits<float>::quiet_NaN();
  for (int t = 1; t <= 20; ++t) {
    for (std::size_t i = 0; i < size; ++i) {
      const double g = std::cos(0.3 * static_cast<double>(i) + t);
      toy.g()[i] = static_cast<float>(g);
      if (is_trained(i)) references[i].step(0.5 * g, 0.01, t);
    }
    toy.step(t, 0.01, 0.5);
  }
  const auto x = toy.x();
  for (std::size_t i = 0; i < trained.size(); ++i)
    for (std::size_t slot = 0; slot < 2; ++slot)
      BOOST_TEST(toy.state.slot(slot, i).size() == trained[i].count, "memory for what is trained alone");
  std::size_t changed = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const float before = start(i);
    if (is_trained(i)) {
      BOOST_REQUIRE_SMALL(x[i] - references[i].x, 1e-5);
      BOOST_REQUIRE(x[i] != before);
      ++changed;
    } else {
      BOOST_REQUIRE(std::memcmp(&x[i], &before, sizeof before) == 0);
    }
  }
  BOOST_TEST(changed == optim::adam_chunk + 7);
  BOOST_TEST(std::signbit(toy.expert_x()[0]));
}

BOOST_AUTO_TEST_SUITE_END()
