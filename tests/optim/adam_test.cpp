#include "demix/optim/adam.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "demix/device/cpu.hpp"
#include "demix/model/experiments.hpp"

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

/// As much of a model as Adam needs, with `size` shared parameters and an expert of one.
struct ToyModel {
  using Arena = ParameterArena<device::Cpu, float>;

  explicit ToyModel(std::size_t size) : values_(make_arena(size)), size_(size) {}
  device::Cpu& device() { return device_; }
  Arena& values() { return values_; }
  Arena make_arena() { return make_arena(size_); }

 private:
  Arena make_arena(std::size_t size) {
    ParameterLayout layout;
    layout.shared.vector("a", size, Initializer::zeros());
    layout.expert.vector("b", 1, Initializer::zeros());
    return Arena(device_, layout, 1);
  }

  device::Cpu device_;
  Arena values_;
  std::size_t size_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(adam)

BOOST_AUTO_TEST_CASE(the_first_update_moves_by_the_learning_rate_against_the_sign) {
  ToyModel model(2);
  optim::Adam<ToyModel> adam(model, {0.9, 0.95, 0, 0});
  auto gradients = model.make_arena();
  gradients.region(0)[0] = 100;
  gradients.region(0)[1] = -1e-3f;
  adam.step(model, gradients, 1, 0.5, 1.0);
  BOOST_TEST(model.values().region(0)[0] == -0.5f, boost::test_tools::tolerance(1e-6f));
  BOOST_TEST(model.values().region(0)[1] == 0.5f, boost::test_tools::tolerance(1e-6f));
}

BOOST_AUTO_TEST_CASE(many_updates_follow_the_reference_in_every_region_and_chunk) {
  const std::size_t size = 2 * optim::adam_chunk + 7;
  ToyModel model(size);
  const optim::AdamSettings settings;
  optim::Adam<ToyModel> adam(model, settings);
  auto gradients = model.make_arena();
  const std::vector<std::size_t> watched{0, 1, optim::adam_chunk - 1, optim::adam_chunk, size - 1};
  std::vector<Reference> references;
  for (const auto i : watched) {
    model.values().region(0)[i] = 0.1f * static_cast<float>(i % 11) - 0.5f;
    references.push_back({settings, model.values().region(0)[i]});
  }
  model.values().region(1)[0] = 2;
  references.push_back({settings, 2});
  for (int t = 1; t <= 50; ++t) {
    const double learning_rate = 0.01 / t, scale = 0.3;
    const auto gradient = [&](std::size_t i) { return std::sin(0.7 * static_cast<double>(i) + t); };
    for (std::size_t i = 0; i < size; ++i) gradients.region(0)[i] = static_cast<float>(gradient(i));
    gradients.region(1)[0] = static_cast<float>(gradient(5));
    adam.step(model, gradients, static_cast<std::uint64_t>(t), learning_rate, scale);
    for (std::size_t k = 0; k < watched.size(); ++k)
      references[k].step(scale * gradient(watched[k]), learning_rate, t);
    references.back().step(scale * gradient(5), learning_rate, t);
  }
  for (std::size_t k = 0; k < watched.size(); ++k)
    BOOST_TEST(model.values().region(0)[watched[k]] == references[k].x, boost::test_tools::tolerance(1e-5));
  BOOST_TEST(model.values().region(1)[0] == references.back().x, boost::test_tools::tolerance(1e-5));
}

BOOST_AUTO_TEST_CASE(rates_near_1_follow_the_reference) {
  // What float makes of 1 - beta2: 1.0014e-5 for 0.99999, and 0 for 0.99999999.
  for (const double beta2 : {0.0, 0.95, 0.99999, 0.99999999})
    for (const double beta1 : {0.0, 0.9, 0.99999}) {
      const std::size_t size = 100;
      const optim::AdamSettings settings{beta1, beta2, 1e-7, 0.1};
      ToyModel model(size);
      optim::Adam<ToyModel> adam(model, settings);
      auto gradients = model.make_arena();
      std::vector<Reference> references;
      for (std::size_t i = 0; i < size; ++i) {
        model.values().region(0)[i] = 0.02f * static_cast<float>(i) - 1.01f;
        references.push_back({settings, model.values().region(0)[i]});
      }
      for (int t = 1; t <= 30; ++t) {
        for (std::size_t i = 0; i < size; ++i) {
          const float g = static_cast<float>(0.5 + std::sin(0.7 * static_cast<double>(i) + t));
          gradients.region(0)[i] = g;
          references[i].step(static_cast<double>(g), 0.003, t);
        }
        adam.step(model, gradients, static_cast<std::uint64_t>(t), 0.003, 1.0);
      }
      double worst = 0;
      for (std::size_t i = 0; i < size; ++i)
        worst =
            std::max(worst, std::fabs(static_cast<double>(model.values().region(0)[i]) - references[i].x));
      BOOST_TEST(worst < 2e-6, "beta1 " << beta1 << ", beta2 " << beta2 << ": an error of " << worst);
    }
}

BOOST_AUTO_TEST_CASE(an_eps_that_float_rounds_to_0_leaves_a_parameter_without_gradient_alone) {
  ToyModel model(2);
  model.values().region(0)[0] = 1;
  optim::Adam<ToyModel> adam(model, {0.9, 0.95, 1e-50, 0});
  auto gradients = model.make_arena();
  gradients.region(0)[1] = 1;
  adam.step(model, gradients, 1, 0.5, 1.0);
  BOOST_TEST(model.values().region(0)[0] == 1.0f);
  BOOST_TEST(model.values().region(0)[1] == -0.5f, boost::test_tools::tolerance(1e-6f));
}

BOOST_AUTO_TEST_CASE(weight_decay_alone_shrinks) {
  ToyModel model(1);
  model.values().region(0)[0] = 1;
  optim::Adam<ToyModel> adam(model, {});
  const auto gradients = model.make_arena();
  adam.step(model, gradients, 1, 0.5, 1.0);
  BOOST_TEST(model.values().region(0)[0] == 0.95f, boost::test_tools::tolerance(1e-6f));
}

BOOST_AUTO_TEST_CASE(what_is_not_in_a_span_keeps_its_bits_and_what_is_follows_the_reference) {
  const std::size_t size = 3 * optim::adam_chunk;
  // Across a chunk's border, one number, and the last; the expert's region is frozen whole.
  const std::vector<optim::ParameterSpan> trained{
      {0, optim::adam_chunk - 3, optim::adam_chunk + 5}, {0, 17, 1}, {0, size - 1, 1}};
  const auto is_trained = [&](std::size_t i) {
    for (const auto& [region, first, count] : trained)
      if (i >= first && i < first + count) return true;
    return false;
  };
  ToyModel model(size);
  const auto start = [](std::size_t i) { return 0.1f * static_cast<float>(i % 13) - 0.6f; };
  for (std::size_t i = 0; i < size; ++i) model.values().region(0)[i] = start(i);
  model.values().region(1)[0] = -0.0f;
  const optim::AdamSettings settings;
  std::vector<Reference> references;
  for (std::size_t i = 0; i < size; ++i) references.push_back({settings, start(i)});
  optim::Adam<ToyModel> adam(model, settings, trained);
  auto gradients = model.make_arena();
  gradients.region(1)[0] = std::numeric_limits<float>::quiet_NaN();
  for (int t = 1; t <= 20; ++t) {
    for (std::size_t i = 0; i < size; ++i) {
      const double g = std::cos(0.3 * static_cast<double>(i) + t);
      gradients.region(0)[i] = static_cast<float>(g);
      if (is_trained(i)) references[i].step(0.5 * g, 0.01, t);
    }
    adam.step(model, gradients, static_cast<std::uint64_t>(t), 0.01, 0.5);
  }
  const auto x = model.values().region(0), m = adam.first_moment().region(0),
             v = adam.second_moment().region(0);
  std::size_t changed = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const float before = start(i), zero = 0;
    if (is_trained(i)) {
      BOOST_REQUIRE_SMALL(x[i] - references[i].x, 1e-5);
      BOOST_REQUIRE(x[i] != before);
      ++changed;
    } else {
      BOOST_REQUIRE(std::memcmp(&x[i], &before, sizeof before) == 0);
      BOOST_REQUIRE(std::memcmp(&m[i], &zero, sizeof zero) == 0);
      BOOST_REQUIRE(std::memcmp(&v[i], &zero, sizeof zero) == 0);
    }
  }
  BOOST_TEST(changed == optim::adam_chunk + 7);
  BOOST_TEST(std::signbit(model.values().region(1)[0]));
}

BOOST_AUTO_TEST_SUITE_END()
