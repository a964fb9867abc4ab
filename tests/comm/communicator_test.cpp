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

BOOST_AUTO_TEST_CASE(a_thread_that_fails_or_stays_away_ends_all) {
  using testing::ThreadComm;
  const auto failure = [](const auto& body) {
    try {
      ThreadComm::run(3, body, std::chrono::seconds(1));
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  BOOST_TEST(failure([](ThreadComm comm) {
               auto pair = comm.split(comm.rank() == 2);
               require(comm.rank() != 1, "rank 1 fails");
               pair.barrier();
               comm.barrier();
             }) == "rank 1 fails");
  BOOST_TEST(failure([](ThreadComm comm) {
               if (comm.rank() == 0) comm.barrier();
             }) == "rank 0 of 3 waited in vain for 1 s");
  BOOST_TEST(failure([](ThreadComm comm) { comm.barrier(); }) == "none");
}

BOOST_AUTO_TEST_SUITE_END()
