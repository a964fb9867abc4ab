#pragma once
// Work in parallel whose results are taken in the order of the input, in bounded memory.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace demix::prepare {

/// Until `produce()` returns an empty optional: `consume(work(worker, item))`, items in order. `produce` and
/// `consume` run one at a time, `work` on `threads` threads, worker in [0, threads). At most `threads` items
/// exist at once. An exception ends everything and is thrown here: always that of the earliest failing item.
/// Fewer threads do it where the system gives no more.
template <class Produce, class Work, class Consume>
void run_in_order(std::size_t threads, Produce&& produce, Work&& work, Consume&& consume) {
  std::mutex mutex;
  std::condition_variable turn_changed;
  std::uint64_t next_item = 0, turn = 0;
  bool ended = false;
  std::exception_ptr failure;

  const auto run_worker = [&](std::size_t worker) {
    std::unique_lock lock(mutex);
    while (!ended) {
      std::exception_ptr error;
      std::optional<decltype(work(worker, *produce()))> result;
      const std::uint64_t mine = next_item++;
      try {
        auto item = produce();
        if (!item) {
          ended = true;
          return;
        }
        lock.unlock();
        result.emplace(work(worker, std::move(*item)));
      } catch (...) {
        error = std::current_exception();
      }
      if (!lock.owns_lock()) lock.lock();
      turn_changed.wait(lock, [&] { return turn == mine || failure; });
      if (failure) return;
      try {
        if (error) std::rethrow_exception(error);
        consume(std::move(*result));
      } catch (...) {
        failure = std::current_exception();
        ended = true;
      }
      ++turn;
      turn_changed.notify_all();
    }
  };

  std::vector<std::jthread> workers;
  try {
    for (std::size_t worker = 1; worker < threads; ++worker) workers.emplace_back(run_worker, worker);
  } catch (const std::system_error&) {
  }
  run_worker(0);
  for (auto& worker : workers) worker.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace demix::prepare
