#pragma once
// A communicator between threads of one process: ranks without ranks.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "demix/comm/communicator.hpp"
#include "demix/core/error.hpp"

namespace demix::testing {

/// One rank of a group of threads. Sums are added in the order of ranks.
class ThreadComm {
  /// All ranks of a run.
  struct World {
    std::mutex mutex;
    std::condition_variable changed;
    std::exception_ptr failure;  // the first rank's that threw
    std::chrono::seconds deadline;
  };
  struct Group {
    Group(World& in, int size)
        : world(in), pointers(static_cast<std::size_t>(size)), colors(static_cast<std::size_t>(size)) {}
    World& world;
    std::size_t meetings = 0, arrived = 0;
    std::vector<const void*> pointers;
    std::vector<int> colors;
    std::map<int, std::shared_ptr<Group>> parts;
  };

 public:
  /// Runs body(comm) on `size` threads, each with its rank; throws what the first that failed threw. The
  /// others' next meeting throws then, as does one that some rank does not come to before the deadline.
  /// Nothing of Boost.Test may be called in body: it is not made for threads.
  template <class Body>
  static void run(int size, const Body& body, std::chrono::seconds deadline = std::chrono::seconds(300)) {
    World world;
    world.deadline = deadline;
    const auto group = std::make_shared<Group>(world, size);
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < size; ++rank)
      threads.emplace_back([&, rank] {
        try {
          body(ThreadComm(group, rank, size));
        } catch (...) {
          const std::lock_guard lock(world.mutex);
          if (!world.failure) world.failure = std::current_exception();
          world.changed.notify_all();
        }
      });
    threads.clear();
    if (world.failure) std::rethrow_exception(world.failure);
  }

  int rank() const { return rank_; }
  int size() const { return size_; }

  template <class T>
  void all_reduce(std::span<T> x) {
    std::vector<T> sum(x.size(), T(0));
    exchange(x.data(), [&](int, const T* of_rank) {
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += of_rank[i];
    });
    std::copy(sum.begin(), sum.end(), x.begin());
  }
  template <class T>
  void reduce_scatter(std::span<T> x, std::span<T> part) {
    std::vector<T> sum(part.size(), T(0));
    exchange(x.data(), [&](int, const T* of_rank) {
      for (std::size_t i = 0; i < sum.size(); ++i)
        sum[i] += of_rank[static_cast<std::size_t>(rank_) * part.size() + i];
    });
    std::copy(sum.begin(), sum.end(), part.begin());
  }
  template <class T>
  void all_gather(std::span<const T> part, std::span<T> x) {
    std::vector<T> all(x.size());
    exchange(part.data(), [&](int rank, const T* of_rank) {
      std::copy_n(of_rank, part.size(), all.begin() + static_cast<std::ptrdiff_t>(part.size()) * rank);
    });
    std::copy(all.begin(), all.end(), x.begin());
  }
  template <class T>
  void broadcast(std::span<T> x, int root) {
    std::vector<T> values(x.size());
    exchange(x.data(), [&](int rank, const T* of_rank) {
      if (rank == root) std::copy_n(of_rank, values.size(), values.begin());
    });
    std::copy(values.begin(), values.end(), x.begin());
  }
  void progress() {}
  void wait(comm::Patience = comm::Patience::update) {}
  void barrier() {
    World& world = group_->world;
    std::unique_lock lock(world.mutex);
    const std::size_t meeting = group_->meetings;
    if (++group_->arrived == group_->pointers.size()) {
      group_->arrived = 0;
      ++group_->meetings;
      world.changed.notify_all();
      return;
    }
    const auto is_over = [&] { return world.failure || group_->meetings != meeting; };
    // In turns of a second: older C libraries may lose a wake-up.
    auto left = world.deadline;
    while (left.count() > 0 && !world.changed.wait_for(lock, std::chrono::seconds(1), is_over)) --left;
    require(is_over(), "rank ", rank_, " of ", size_, " waited in vain for ", world.deadline.count(), " s");
    require(group_->meetings != meeting, "rank ", rank_, " of ", size_, ": another rank failed");
  }

  ThreadComm split(int color) {
    group_->colors[static_cast<std::size_t>(rank_)] = color;
    barrier();
    int rank = 0, size = 0;
    for (int r = 0; r < size_; ++r)
      if (group_->colors[static_cast<std::size_t>(r)] == color) {
        if (r == rank_) rank = size;
        ++size;
      }
    std::shared_ptr<Group> part;
    {
      const std::lock_guard lock(group_->world.mutex);
      auto& there = group_->parts[color];
      if (!there) there = std::make_shared<Group>(group_->world, size);
      part = there;
    }
    barrier();
    if (rank_ == 0) group_->parts.clear();
    barrier();
    return ThreadComm(part, rank, size);
  }

  [[noreturn]] void abort(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::abort();
  }

 private:
  ThreadComm(std::shared_ptr<Group> group, int rank, int size)
      : group_(std::move(group)), rank_(rank), size_(size) {}

  /// read(rank, pointer) for every rank's pointer, in order, while all of them stay as they are.
  template <class T, class Read>
  void exchange(T* mine, const Read& read) {
    group_->pointers[static_cast<std::size_t>(rank_)] = mine;
    barrier();
    for (int r = 0; r < size_; ++r)
      read(r, static_cast<const std::remove_const_t<T>*>(group_->pointers[static_cast<std::size_t>(r)]));
    barrier();
  }

  std::shared_ptr<Group> group_;
  int rank_, size_;
};

static_assert(comm::Communicator<ThreadComm>);

}  // namespace demix::testing
