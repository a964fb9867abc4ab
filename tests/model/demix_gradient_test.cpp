#include <boost/mpl/list.hpp>

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;
using Activations = boost::mpl::list<ops::Relu, ops::Gelu, ops::GeluTanh>;

BOOST_AUTO_TEST_SUITE(demix_gradients)

BOOST_AUTO_TEST_CASE_TEMPLATE(equal_finite_differences, A, Activations) {
  check_gradients_of_all_configurations<DEMixModel<device::Cpu, Fp64, A>>();
}

BOOST_AUTO_TEST_SUITE_END()
