#include "demix/optim/gradient_norm.hpp"

#include <boost/test/unit_test.hpp>
#include <limits>

#include "demix/device/cpu.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(gradient_norm)

BOOST_AUTO_TEST_CASE(each_region_counts_once) {
  device::Cpu device;
  ParameterLayout layout;
  const auto a = layout.shared.vector("a", 2, Initializer::zeros());
  const auto b = layout.expert.vector("b", 1, Initializer::zeros());
  ParameterArena<device::Cpu, float> gradients(device, layout, 2);
  gradients.shared(a).data[0] = 3;
  gradients.shared(a).data[1] = 4;
  gradients.expert(DomainId(1), b).data[0] = -5;
  device::Array<device::Cpu, float> scratch(device);
  const auto squares = optim::region_square_norms(device, gradients, scratch);
  BOOST_TEST(squares == (std::vector<double>{25, 0, 25}), boost::test_tools::per_element());
  gradients.expert(DomainId(0), b).data[0] = std::numeric_limits<float>::infinity();
  BOOST_TEST(std::isinf(optim::region_square_norms(device, gradients, scratch)[1]));
}

BOOST_AUTO_TEST_CASE(only_spans_count) {
  device::Cpu device;
  ParameterLayout layout;
  layout.shared.vector("a", 5, Initializer::zeros());
  layout.expert.vector("b", 2, Initializer::zeros());
  ParameterArena<device::Cpu, float> gradients(device, layout, 2);
  for (std::size_t i = 0; i < 5; ++i) gradients.region(0)[i] = static_cast<float>(i + 1);
  gradients.region(0)[0] = std::numeric_limits<float>::quiet_NaN();
  gradients.region(2)[1] = 10;
  device::Array<device::Cpu, float> scratch(device);
  BOOST_TEST(optim::square_norms(device, gradients, {{0, 1, 2}, {2, 0, 2}, {0, 4, 1}, {1, 0, 2}}, scratch) ==
                 (std::vector<double>{13, 100, 25, 0}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(clipping_scales_only_what_is_too_long) {
  BOOST_TEST(optim::clip_factor(2.0, 0.5) == 0.25);
  BOOST_TEST(optim::clip_factor(0.4, 0.5) == 1.0);
  BOOST_TEST(optim::clip_factor(100.0, 0.0) == 1.0);
}

BOOST_AUTO_TEST_SUITE_END()
