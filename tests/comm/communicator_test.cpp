#include "demix/comm/communicator.hpp"

#include <boost/test/unit_test.hpp>

#include "comm/conformance.hpp"
#include "comm/threads.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(communicator)

BOOST_AUTO_TEST_CASE(threads) {
  for (const int ranks : {1, 2, 3, 4, 8})
    testing::ThreadComm::run(
        ranks, [](testing::ThreadComm comm) { testing::communicator_conformance(std::move(comm)); });
}

BOOST_AUTO_TEST_SUITE_END()
