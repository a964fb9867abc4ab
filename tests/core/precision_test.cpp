#include "demix/core/precision.hpp"

#include <boost/test/unit_test.hpp>

using namespace demix;

namespace {

struct Named {
  static constexpr const char* name = "a test's";
};
struct FloatWithDoubleMaster : Named {
  using compute_type = float;
  using master_type = double;
};
struct WithoutMaster : Named {
  using compute_type = float;
};
struct WithoutSums : Named {
  using compute_type = int;
  using master_type = int;
};
struct WithoutName {
  using compute_type = float;
  using master_type = float;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(precision)

BOOST_AUTO_TEST_CASE(three_types_of_a_policy) {
  static_assert(Precision<FloatWithDoubleMaster>);
  static_assert(!Precision<WithoutMaster> && !Precision<WithoutSums> && !Precision<WithoutName>);
  static_assert(std::same_as<compute_t<FloatWithDoubleMaster>, float>);
  static_assert(std::same_as<gradient_t<FloatWithDoubleMaster>, float>);
  static_assert(std::same_as<master_t<FloatWithDoubleMaster>, double>);
  static_assert(computes_with_master<Fp32> && computes_with_master<Fp64>);
  static_assert(!computes_with_master<FloatWithDoubleMaster>);
  BOOST_TEST(Fp32::name != Fp64::name);
}

BOOST_AUTO_TEST_SUITE_END()
