#include "demix/comm/agreement.hpp"

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <mutex>
#include <new>

#include "comm/threads.hpp"
#include "demix/comm/self.hpp"
#include "demix/device/cpu.hpp"
#include "device/counting.hpp"

using namespace demix;
using testing::ThreadComm;
using Ranks = comm::Agreement<device::Cpu, ThreadComm>;
using Texts = std::vector<std::string>;

namespace {

/// What every rank throws in body(agreement, rank), by rank; "" where it throws nothing.
template <class Body>
Texts outcomes(int ranks, const Body& body) {
  Texts result(static_cast<std::size_t>(ranks));
  ThreadComm::run(ranks, [&](ThreadComm comm) {
    device::Cpu device(1);
    Ranks agreement(device, comm);
    auto& said = result[static_cast<std::size_t>(comm.rank())];
    try {
      body(agreement, comm.rank());
    } catch (const Stopped& stopped) {
      said = concat("stopped ", stopped.signal());
    } catch (const std::exception& error) {
      said = error.what();
    } catch (int number) {
      said = concat("int ", number);
    }
    comm.barrier();
  });
  return result;
}

void check(const Texts& found, const Texts& expected) {
  BOOST_TEST(found == expected, boost::test_tools::per_element());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(agreement)

BOOST_AUTO_TEST_CASE(numbers_and_texts_reach_all_ranks) {
  const std::string letters("a\0\xff\xc3\xbc", 5);
  const Texts texts{"", letters, std::string(3000, 'x'), ""};
  for (const int ranks : {1, 2, 4})
    check(outcomes(ranks,
                   [&](Ranks& agreement, int rank) {
                     std::vector<double> numbers{1.0, 0.1 * (rank + 1)};
                     agreement.sum(numbers);
                     double sum = 0;
                     for (int r = 0; r < ranks; ++r) sum += 0.1 * (r + 1);
                     require(numbers[0] == ranks && numbers[1] == sum, "sum ", numbers[1]);
                     const auto found = agreement.gather(texts[static_cast<std::size_t>(rank)]);
                     require(found == Texts(texts.begin(), texts.begin() + ranks), "gather");
                     require(agreement.gather("") == Texts(static_cast<std::size_t>(ranks)),
                             "gather nothing");
                     require(agreement.from_first(concat("rank ", rank)) == "rank 0", "from_first");
                     int calls = 0;
                     const auto said = agreement.said_by_first([&] { return concat("call ", ++calls); });
                     require(said == "call 1" && calls == (rank == 0), "said_by_first");
                     require(agreement.is_first() == (rank == 0), "is_first");
                   }),
          Texts(static_cast<std::size_t>(ranks)));
}

BOOST_AUTO_TEST_CASE(a_failure_of_one_rank_is_that_of_all) {
  check(outcomes(3, [](Ranks& agreement,
                       int rank) { agreement.together([&] { require(rank != 1, "no room"); }); }),
        {"rank 1: no room", "no room", "rank 1: no room"});
  // The lowest one that failed is heard where nothing failed, whatever it threw.
  check(outcomes(4,
                 [](Ranks& agreement, int rank) {
                   agreement.together([&] {
                     if (rank == 1) throw 7;
                     if (rank == 3) throw std::runtime_error("late");
                   });
                 }),
        {"rank 1: an unknown failure", "int 7", "rank 1: an unknown failure", "late"});
}

BOOST_AUTO_TEST_CASE(a_result_comes_back_where_nobody_failed) {
  check(outcomes(2,
                 [](Ranks& agreement, int rank) {
                   const auto moved = agreement.together([&] { return std::make_unique<int>(rank); });
                   require(*moved == rank, "result");
                 }),
        {"", ""});
}

BOOST_AUTO_TEST_CASE(a_signal_stops_all_and_a_failure_is_more_than_a_signal) {
  const auto stop = [](int rank) { throw Stopped(rank == 1 ? SIGUSR1 : SIGTERM); };
  check(outcomes(4,
                 [&](Ranks& agreement, int rank) {
                   agreement.together([&] {
                     if (rank % 2 == 1) stop(rank);
                   });
                 }),
        {concat("stopped ", SIGUSR1), concat("stopped ", SIGUSR1), concat("stopped ", SIGUSR1),
         concat("stopped ", SIGTERM)});
  check(outcomes(3,
                 [&](Ranks& agreement, int rank) {
                   agreement.together([&] {
                     if (rank == 0) stop(rank);
                     require(rank != 2, "broken");
                   });
                 }),
        {"rank 2: broken", "rank 2: broken", "broken"});
}

BOOST_AUTO_TEST_CASE(jobs_of_other_lengths_end_together) {
  std::mutex mutex;
  std::map<int, int> steps, polls;
  check(outcomes(4,
                 [&](Ranks& agreement, int rank) {
                   agreement.in_turns(
                       [&] {
                         const std::lock_guard lock(mutex);
                         ++polls[rank];
                       },
                       [&](const auto& turn) {
                         for (int i = 0; i < 2 * rank; ++i) {
                           turn();
                           const std::lock_guard lock(mutex);
                           ++steps[rank];
                         }
                       });
                 }),
        {"", "", "", ""});
  for (int rank = 0; rank < 4; ++rank) {
    BOOST_TEST(steps[rank] == 2 * rank);
    BOOST_TEST(polls[rank] == 2 * 3 + 1);  // at every turn of the longest job, and at the end
  }
}

BOOST_AUTO_TEST_CASE(all_leave_a_job_at_the_turn_at_which_one_stops_or_fails) {
  for (const bool fails : {false, true}) {
    std::mutex mutex;
    std::map<int, int> steps;
    const auto said = outcomes(3, [&](Ranks& agreement, int rank) {
      int polls = 0;
      agreement.in_turns(
          [&] {
            if (rank == 1 && ++polls == 3 && !fails) throw Stopped(SIGTERM);
          },
          [&](const auto& turn) {
            for (int i = 0; i < (rank == 2 ? 1 : 9); ++i) {
              turn();
              require(!(rank == 1 && i == 2 && fails), "bad text");
              const std::lock_guard lock(mutex);
              ++steps[rank];
            }
          });
    });
    BOOST_TEST(steps[1] == 2);
    BOOST_TEST(steps[2] == 1);
    if (fails) {
      check(said, {"rank 1: bad text", "bad text", "rank 1: bad text"});
      BOOST_TEST(steps[0] == 3);
    } else {
      check(said, Texts(3, concat("stopped ", SIGTERM)));
      BOOST_TEST(steps[0] == 2);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_rank_without_steps_can_stop_the_others) {
  int steps = 0;
  check(outcomes(2,
                 [&](Ranks& agreement, int rank) {
                   int polls = 0;
                   agreement.in_turns(
                       [&] {
                         if (rank == 1 && polls++ == 3) throw Stopped(SIGTERM);
                       },
                       [&](const auto& turn) {
                         for (int i = 0; rank == 0 && i < 9; ++i) {
                           turn();
                           ++steps;
                         }
                       });
                 }),
        Texts(2, concat("stopped ", SIGTERM)));
  BOOST_TEST(steps == 3);
}

BOOST_AUTO_TEST_CASE(one_rank_agrees_with_itself_without_the_device) {
  testing::CountingDevice device;
  comm::Self self;
  comm::Agreement<testing::CountingDevice, comm::Self> agreement(device, self);
  const auto waits = device.waits, allocations = device.allocations;
  std::vector<double> numbers{1, 2};
  agreement.sum(numbers);
  BOOST_TEST(numbers == (std::vector<double>{1, 2}), boost::test_tools::per_element());
  BOOST_TEST(agreement.together([] { return 5; }) == 5);
  BOOST_CHECK_THROW(agreement.together([] { throw Stopped(SIGINT); }), Stopped);
  BOOST_CHECK_THROW(agreement.in_turns([] { throw std::bad_alloc(); }, [](const auto& turn) { turn(); }),
                    std::bad_alloc);
  BOOST_TEST(agreement.from_first("text") == "text");
  BOOST_TEST(agreement.said_by_first([] { return "text"; }) == "text");
  BOOST_TEST(!agreement.meet(nullptr));
  BOOST_TEST(device.waits == waits);
  BOOST_TEST(device.allocations == allocations);
}

BOOST_AUTO_TEST_SUITE_END()
