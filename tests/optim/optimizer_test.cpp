#include "demix/optim/optimizer.hpp"

#include "demix/optim/adam.hpp"
#include "demix/optim/sgd.hpp"
#include "optim/conformance.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(optimizer)

BOOST_AUTO_TEST_CASE(adam) { testing::optimizer_conformance<optim::Adam>(); }
BOOST_AUTO_TEST_CASE(sgd) { testing::optimizer_conformance<optim::Sgd>(); }

BOOST_AUTO_TEST_SUITE_END()
