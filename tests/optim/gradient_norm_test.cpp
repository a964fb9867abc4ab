#include "demix/optim/gradient_norm.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "demix/device/cpu.hpp"

using namespace demix;

namespace {

struct Fixture {
  device::Cpu device;
  device::Array<device::Cpu, float> scratch{device};

  std::vector<double> squares(const ParameterArena<device::Cpu, float>& gradients,
                              const std::vector<optim::ParameterSpan>& spans) {
    std::vector<double> result(1 + gradients.held().all(), 0.0);
    optim::accumulate_square_norms(device, gradients, spans, scratch, result.data());
    return result;
  }
  double scale(std::vector<double> tokens, std::vector<double> squares_, double max_norm) {
    double result = 0;
    optim::clip_scale(device, tokens.data(), tokens.size(), squares_.data(), squares_.size(), max_norm,
                      &result);
    return result;
  }
  /// Of the experts of these tokens.
  std::vector<double> expert_scales(const std::vector<double>& tokens, const std::vector<double>& squares_,
                                    double max_norm) {
    const double whole = scale(tokens, squares_, max_norm);
    std::vector<double> result(1 + tokens.size());
    optim::expert_clip_scales(device, tokens.data(), squares_.data(), tokens.size(), max_norm, &whole,
                              result.data());
    return result;
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(gradient_norm, Fixture)

BOOST_AUTO_TEST_CASE(each_region_counts_once) {
  ParameterLayout layout;
  const auto a = layout.shared.vector("a", 2, Initializer::zeros());
  const auto b = layout.expert.vector("b", 1, Initializer::zeros());
  ParameterArena<device::Cpu, float> gradients(device, layout, HeldExperts(2));
  gradients.shared(a).data[0] = 3;
  gradients.shared(a).data[1] = 4;
  gradients.expert(ExpertId(1), b).data[0] = -5;
  const auto all = optim::whole_regions(gradients);
  BOOST_TEST(squares(gradients, all) == (std::vector<double>{25, 0, 25}), boost::test_tools::per_element());
  gradients.expert(ExpertId(0), b).data[0] = std::numeric_limits<float>::infinity();
  BOOST_TEST(std::isinf(squares(gradients, all)[1]));
}

BOOST_AUTO_TEST_CASE(only_spans_count) {
  ParameterLayout layout;
  layout.shared.vector("a", 5, Initializer::zeros());
  layout.expert.vector("b", 2, Initializer::zeros());
  ParameterArena<device::Cpu, float> gradients(device, layout, HeldExperts(2));
  const RegionId shared = RegionId::shared();
  for (std::size_t i = 0; i < 5; ++i) gradients.region(shared)[i] = static_cast<float>(i + 1);
  gradients.region(shared)[0] = std::numeric_limits<float>::quiet_NaN();
  gradients.region(ExpertId{1})[1] = 10;
  BOOST_TEST(squares(gradients, {{shared, 1, 2}, {ExpertId{1}, 0, 2}, {shared, 4, 1}, {ExpertId{0}, 0, 2}}) ==
                 (std::vector<double>{13 + 25, 0, 100}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(experts_that_are_not_held_count_nothing_here) {
  ParameterLayout layout;
  layout.shared.vector("a", 1, Initializer::zeros());
  layout.expert.vector("b", 1, Initializer::zeros());
  ParameterArena<device::Cpu, float> gradients(device, layout, HeldExperts(4, {ExpertId{1}, ExpertId{3}}));
  gradients.region(ExpertId{3})[0] = 2;
  BOOST_TEST(squares(gradients, optim::whole_regions(gradients)) == (std::vector<double>{0, 0, 0, 0, 4}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(clipping_scales_only_what_is_too_long) {
  // Norms of the mean's gradient: 8 / 4 = 2, 1.6 / 4 = 0.4, 400 / 4 = 100.
  BOOST_TEST(scale({1, 3}, {64}, 0.5) == 0.25 / 4);
  BOOST_TEST(scale({4}, {1.6 * 1.6}, 0.5) == 1.0 / 4);
  BOOST_TEST(scale({4}, {160000}, 0.0) == 1.0 / 4);
  BOOST_TEST(scale({4}, {36, 28}, 0.5) == 0.25 / 4);
}

BOOST_AUTO_TEST_CASE(what_is_no_number_is_no_scale) {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  for (const double max_norm : {0.0, 0.5}) {
    BOOST_TEST(std::isnan(scale({4}, {nan, 1}, max_norm)));
    BOOST_TEST(std::isnan(scale({4}, {1, infinity}, max_norm)));
    BOOST_TEST(std::isnan(scale({0, 0}, {1}, max_norm)));
    BOOST_TEST(std::isnan(scale({0}, {0}, max_norm)));
  }
}

BOOST_AUTO_TEST_CASE(experts_are_clipped_by_their_own_norms) {
  // Norms of their means' gradients: 8 / 4 = 2, and 1.6 / 4 = 0.4; of the whole, sqrt(66.56) / 8 = 1.02.
  const auto clipped = expert_scales({4, 4}, {0, 64, 1.6 * 1.6}, 0.5);
  BOOST_TEST(clipped[0] == scale({8}, {64 + 1.6 * 1.6}, 0.5));
  BOOST_TEST(clipped[1] == 0.25 / 4);
  BOOST_TEST(clipped[2] == 1.0 / 4);
  BOOST_TEST(expert_scales({2, 5}, {0, 64, 16}, 0.0) == (std::vector<double>{1.0 / 7, 1.0 / 2, 1.0 / 5}),
             boost::test_tools::per_element());
  // One without a token is not changed by a gradient; another's goes on.
  BOOST_TEST(expert_scales({0, 5}, {0, 0, 16}, 0.0) == (std::vector<double>{1.0 / 5, 0, 1.0 / 5}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(where_one_expert_has_no_number_none_has_a_scale) {
  const double nan = std::numeric_limits<double>::quiet_NaN(),
               infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, infinity})
    for (const double max_norm : {0.0, 0.5})
      for (const double scale : expert_scales({1, 2}, {0, bad, 1}, max_norm)) BOOST_TEST(std::isnan(scale));
  for (const double scale : expert_scales({0, 0}, {0, 0, 0}, 0.5)) BOOST_TEST(std::isnan(scale));
}

BOOST_AUTO_TEST_SUITE_END()
