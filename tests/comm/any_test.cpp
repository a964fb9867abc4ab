#include "demix/comm/any.hpp"

#include <boost/test/unit_test.hpp>

#include "comm/conformance.hpp"
#include "comm/threads.hpp"
#include "demix/comm/self.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(any)

BOOST_AUTO_TEST_CASE(conforms_as_what_it_holds) {
  testing::communicator_conformance(comm::Any(comm::Self()));
  for (const int ranks : {2, 4})
    testing::ThreadComm::run(ranks, [](testing::ThreadComm comm) {
      testing::communicator_conformance(comm::Any(std::move(comm)));
    });
}

BOOST_AUTO_TEST_SUITE_END()
