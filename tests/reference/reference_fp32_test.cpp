#include "reference/reference.hpp"

// Adam divides a gradient by its own size: where it is nothing but rounding (the bias of k), so is the
// update.
BOOST_AUTO_TEST_CASE(single_precision_is_near_pytorch) {
  demix::testing::compare_all_with_reference<demix::Fp32>({1e-6, 1e-5, 2e-5, 1e-6});
}
