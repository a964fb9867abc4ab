#include "demix/program/run_program.hpp"

#include <new>

#include "captured.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::program;
using demix::test::Captured;
using demix::test::contains;

BOOST_AUTO_TEST_SUITE(running_programs)

BOOST_AUTO_TEST_CASE(exit_codes) {
  Captured err(std::cerr);
  BOOST_TEST(run_program("p", [] { return 0; }) == 0);
  BOOST_TEST(run_program("p", []() -> int { throw Error("a bad file"); }) == 1);
  BOOST_TEST(run_program("p", []() -> int { throw std::bad_alloc(); }) == 1);
  BOOST_TEST(run_program("p", []() -> int { throw UsageError("a wrong option"); }) == 2);
  BOOST_TEST(run_program("p", []() -> int { throw comm::RankLost("rank 3 is lost"); }) == 1);
  BOOST_TEST(run_program("p", []() -> int { throw std::length_error("vector"); }) == 1);
  BOOST_TEST(contains(err.text(), "p: memory ran out\n"));
  BOOST_TEST(contains(err.text(), "p: a size is more than memory can hold (vector)\n"));
  BOOST_TEST(contains(err.text(), "p: a bad file\n"));
  BOOST_TEST(contains(err.text(), "p: rank 3 is lost\n"));
  BOOST_TEST(contains(err.text(), "p: a wrong option\np: --help shows the usage\n"));
}

BOOST_AUTO_TEST_CASE(only_a_lost_rank_keeps_others_from_being_asked) {
  BOOST_TEST(ending_of("p", []() -> int { throw comm::RankLost("x"); }).rank_lost);
  BOOST_TEST(!ending_of("p", []() -> int { throw Error("x"); }).rank_lost);
  BOOST_TEST(ending_of("p", [] { return 3; }).code == 3);
}

BOOST_AUTO_TEST_CASE(a_signal_that_came_first_hides_no_error) {
  Captured err(std::cerr);
  const auto body = [](auto end) {
    StopSignal stop("p");
    stop.defer("this batch");
    raise(SIGTERM);
    end();
    stop.poll();
    return 0;
  };
  BOOST_TEST(run_program("p", [&] { return body([] { throw Error("a bad file"); }); }) == 1);
  BOOST_TEST(contains(err.text(), "p: a bad file\n"));
  BOOST_TEST(run_program("p", [&] { return body([] {}); }) == 128 + SIGTERM);
}

BOOST_AUTO_TEST_SUITE_END()
