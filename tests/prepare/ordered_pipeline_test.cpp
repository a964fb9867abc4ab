#include "demix/prepare/ordered_pipeline.hpp"

#include <atomic>
#include <chrono>

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;
using prepare::run_in_order;

BOOST_AUTO_TEST_SUITE(ordered_pipeline)

BOOST_AUTO_TEST_CASE(results_come_in_order_and_few_at_once) {
  for (const std::size_t threads : {1u, 2u, 5u}) {
    int next = 0;
    std::atomic<int> alive{0};
    int most = 0;
    std::vector<int> results;
    run_in_order(
        threads,
        [&]() -> std::optional<int> {
          if (next == 500) return std::nullopt;
          most = std::max(most, ++alive);
          return next++;
        },
        [](std::size_t, int item) {
          if (item % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
          return item * 2;
        },
        [&](int result) {
          --alive;
          results.push_back(result);
        });
    BOOST_REQUIRE(results.size() == 500u);
    for (std::size_t i = 0; i < results.size(); ++i) BOOST_REQUIRE(results[i] == static_cast<int>(2 * i));
    BOOST_TEST(most <= static_cast<int>(threads));
  }
}

BOOST_AUTO_TEST_CASE(the_earliest_failure_is_thrown_and_later_results_are_dropped) {
  for (const std::string stage : {"produce", "work", "consume"}) {
    for (const std::size_t threads : {1u, 4u}) {
      int next = 0;
      std::vector<int> results;
      const auto fail_at = [&](const std::string& here, int item) {
        if (stage == here && (item == 20 || item == 21)) throw Error(concat("item ", item));
      };
      const auto message = error_of([&] {
        run_in_order(
            threads,
            [&]() -> std::optional<int> {
              fail_at("produce", next);
              return next++;
            },
            [&](std::size_t, int item) {
              if (item == 20) std::this_thread::sleep_for(std::chrono::milliseconds(5));
              fail_at("work", item);
              return item;
            },
            [&](int item) {
              fail_at("consume", item);
              results.push_back(item);
            });
      });
      BOOST_TEST(message == "item 20");
      BOOST_TEST(results.size() == 20u);
    }
  }
}

BOOST_AUTO_TEST_CASE(nothing_in_gives_nothing_out) {
  run_in_order(
      3, []() -> std::optional<int> { return std::nullopt; }, [](std::size_t, int i) { return i; },
      [](int) { BOOST_FAIL("no item"); });
}

BOOST_AUTO_TEST_SUITE_END()
