#include "demix/core/precision.hpp"

#include <boost/test/unit_test.hpp>

using namespace demix;

namespace {

struct FloatWithDoubleMaster {
  using compute_type = float;
  using master_type = double;
  static constexpr const char* name = "fp32 with fp64 master";
};
struct WithoutMaster {
  using compute_type = float;
  static constexpr const char* name = "no master type";
};
struct OfIntegers {
  using compute_type = int;
  using master_type = int;
  static constexpr const char* name = "no type for sums";
};

}  // namespace

BOOST_AUTO_TEST_SUITE(precision)

BOOST_AUTO_TEST_CASE(three_types_of_a_policy) {
  static_assert(Precision<FloatWithDoubleMaster>);
  static_assert(!Precision<WithoutMaster> && !Precision<OfIntegers> && !Precision<float>);
  static_assert(std::same_as<compute_t<FloatWithDoubleMaster>, float>);
  static_assert(std::same_as<gradient_t<FloatWithDoubleMaster>, float>);
  static_assert(std::same_as<master_t<FloatWithDoubleMaster>, double>);
  static_assert(computes_with_master<Fp32> && computes_with_master<Fp64>);
  static_assert(!computes_with_master<FloatWithDoubleMaster>);
  BOOST_TEST(Fp32::name != Fp64::name);
}

BOOST_AUTO_TEST_SUITE_END()
