#include "reference/reference.hpp"

// The recorded losses are float64, gradients and parameters float32: 6e-8 of each number.
BOOST_AUTO_TEST_CASE(double_precision_equals_pytorch) {
  demix::testing::compare_all_with_reference<demix::Fp64>({1e-12, 1e-7, 1e-7, 1e-7});
}
