#pragma once
// Ranks that are processes, by MPI. Compiles only with MPI: link demix::mpi.

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "demix/comm/communicator.hpp"
#include "demix/core/error.hpp"

/// Throws RankLost with the call and MPI's words unless it succeeds.
#define DEMIX_MPI_TRY(call) ::demix::comm::mpi_detail::require_success(call, #call)

namespace demix::comm {

namespace mpi_detail {

inline void require_success(int code, const char* call) {
  if (code == MPI_SUCCESS) [[likely]]
    return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw RankLost(concat("MPI: ", text.data(), " (", call, ")"));
}

template <class T>
MPI_Datatype type_of() {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  return std::is_same_v<T, float> ? MPI_FLOAT : MPI_DOUBLE;
}

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Gives the processor away while something is waited for: the longer that takes, the longer.
inline void pause(double waited) {
  if (waited < 2e-3)
    ::sched_yield();
  else
    std::this_thread::sleep_for(std::chrono::microseconds(waited < 0.1 ? 50 : 200));
}

/// Ranks of an MPI communicator that is freed with it.
class Group {
 public:
  explicit Group(MPI_Comm comm) : comm_(comm) {
    DEMIX_MPI_TRY(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN));
    DEMIX_MPI_TRY(MPI_Comm_rank(comm_, &rank_));
    DEMIX_MPI_TRY(MPI_Comm_size(comm_, &size_));
  }
  /// Not while an exception is on its way: ranks that are lost would be waited for.
  ~Group() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (!finalized && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  MPI_Comm get() const { return comm_; }
  int rank() const { return rank_; }
  int size() const { return size_; }

 private:
  MPI_Comm comm_;
  int rank_ = 0, size_ = 1;
};

inline std::shared_ptr<Group> duplicate(MPI_Comm comm) {
  MPI_Comm copy = MPI_COMM_NULL;
  DEMIX_MPI_TRY(MPI_Comm_dup(comm, &copy));
  return std::make_shared<Group>(copy);
}

/// How long the ranks of a run wait for each other, and who is missing when that was too long. One for all
/// groups of a process.
class Watch {
 public:
  Watch(MPI_Comm world, double seconds_allowed) : control_(duplicate(world)), allowed_(seconds_allowed) {}

  /// Waiting begins; what came before was this rank's own work.
  double begin() {
    const double now = seconds();
    longest_work_ = std::max(longest_work_, now - last_);
    return now;
  }
  void end() { last_ = seconds(); }

  /// Throws RankLost when a wait that began then takes too long. 0 allowed seconds: never.
  void check(double began, Patience patience) {
    if (allowed_ <= 0) return;
    const double limit =
        std::max(allowed_ * (patience == Patience::files ? files_factor : 1.0), work_factor * longest_work_);
    if (seconds() - began > limit) call_roll(limit);
  }

  Group& control() { return *control_; }

 private:
  // Ranks may have several times the work of this one, as experts are spread; and files may be slow.
  static constexpr double work_factor = 4, files_factor = 20;
  static constexpr double roll_seconds = 5;

  /// Rank 0 hears who else waits. The others leave that to it, unless it is silent itself.
  [[noreturn]] void call_roll(double limit) {
    const int rank = control_->rank(), size = control_->size();
    const double began = seconds();
    std::vector<bool> answered(static_cast<std::size_t>(size), false);
    answered[static_cast<std::size_t>(rank)] = true;
    MPI_Request request = MPI_REQUEST_NULL;
    if (rank != 0) MPI_Isend(nullptr, 0, MPI_BYTE, 0, 0, control_->get(), &request);
    while (seconds() - began < (rank == 0 ? roll_seconds : 2 * roll_seconds)) {
      int there = 0;
      MPI_Status status;
      if (MPI_Iprobe(MPI_ANY_SOURCE, 0, control_->get(), &there, &status) == MPI_SUCCESS && there) {
        MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, 0, control_->get(), MPI_STATUS_IGNORE);
        answered[static_cast<std::size_t>(status.MPI_SOURCE)] = true;
      }
      pause(1);
    }
    std::string silent;
    for (int r = 0; r < size; ++r)
      if (!answered[static_cast<std::size_t>(r)] && (rank == 0 || r == 0))
        silent += concat(silent.empty() ? "" : ", ", r);
    if (silent.empty())
      throw RankLost(concat("all ", size, " ranks wait, but not for the same: for ", limit,
                            " s none came further. This is a fault of the program"));
    throw RankLost(concat("rank ", silent, " of ", size, " did not come for ", limit,
                          " s and does not answer: it died, hangs, was stopped or is far slower"));
  }

  const std::shared_ptr<Group> control_;
  const double allowed_;
  double longest_work_ = 0, last_ = seconds();
};

}  // namespace mpi_detail

/// MPI for the time that this lives: one for a process, made first and destroyed last.
class MpiEnvironment {
 public:
  /// Throws Error when MPI cannot start. Where that takes longer than `seconds_allowed` (0: never), as when
  /// some process does not arrive, the program ends.
  explicit MpiEnvironment(double seconds_allowed) {
    std::mutex mutex;
    std::condition_variable changed;
    bool started = false;
    const auto watch = [&] {
      std::unique_lock lock(mutex);
      if (changed.wait_for(lock, std::chrono::duration<double>(seconds_allowed), [&] { return started; }))
        return;
      std::fprintf(stderr, "MPI did not start within %g s: some process of this run did not arrive\n",
                   seconds_allowed);
      std::_Exit(1);
    };
    std::optional<std::jthread> watcher;
    if (seconds_allowed > 0) watcher.emplace(watch);
    int provided = 0;
    const int code = MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    {
      const std::lock_guard lock(mutex);
      started = true;
    }
    changed.notify_one();
    watcher.reset();
    mpi_detail::require_success(code, "MPI_Init_thread");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (provided < MPI_THREAD_FUNNELED) {
      MPI_Finalize();
      throw Error("MPI does not allow programs that have threads (MPI_THREAD_FUNNELED)");
    }
  }
  ~MpiEnvironment() { MPI_Finalize(); }
  MpiEnvironment(const MpiEnvironment&) = delete;
  MpiEnvironment& operator=(const MpiEnvironment&) = delete;
};

/// A group of processes; host memory. Collectives are MPI's non-blocking ones, and go on while the process
/// is in progress, wait or barrier. Only the thread that started MPI may call anything. A wait throws
/// RankLost, which says who is missing, when it takes longer than `seconds_allowed` and than four times the
/// longest work of this rank between two waits so far; with Patience::files, longer than 20 times
/// `seconds_allowed`.
class Mpi {
 public:
  /// All processes. Collective. `seconds_allowed` 0 waits for ever.
  explicit Mpi(double seconds_allowed)
      : group_(mpi_detail::duplicate(MPI_COMM_WORLD)),
        watch_(std::make_shared<mpi_detail::Watch>(MPI_COMM_WORLD, seconds_allowed)) {}

  int rank() const { return group_->rank(); }
  int size() const { return group_->size(); }

  template <class T>
  void all_reduce(std::span<T> x) {
    in_pieces(x, [&](std::span<T> piece, int count) {
      DEMIX_MPI_TRY(MPI_Iallreduce(MPI_IN_PLACE, piece.data(), count, mpi_detail::type_of<T>(), MPI_SUM,
                                   group_->get(), next_request()));
    });
  }
  /// Throws Error for parts of 2^31 elements or more, of different sizes, or that are not size() in x.
  template <class T>
  void reduce_scatter(std::span<T> x, std::span<T> part) {
    require_parts(x.size(), part.size());
    DEMIX_MPI_TRY(MPI_Ireduce_scatter_block(x.data(), part.data(), static_cast<int>(part.size()),
                                            mpi_detail::type_of<T>(), MPI_SUM, group_->get(),
                                            next_request()));
  }
  /// Throws Error like reduce_scatter.
  template <class T>
  void all_gather(std::span<const T> part, std::span<T> x) {
    require_parts(x.size(), part.size());
    const int count = static_cast<int>(part.size());
    DEMIX_MPI_TRY(MPI_Iallgather(part.data(), count, mpi_detail::type_of<T>(), x.data(), count,
                                 mpi_detail::type_of<T>(), group_->get(), next_request()));
  }
  template <class T>
  void broadcast(std::span<T> x, int root) {
    in_pieces(x, [&](std::span<T> piece, int count) {
      DEMIX_MPI_TRY(
          MPI_Ibcast(piece.data(), count, mpi_detail::type_of<T>(), root, group_->get(), next_request()));
    });
  }

  void progress() {
    int done = 0;
    if (!requests_.empty()) DEMIX_MPI_TRY(test(done));
  }

  void wait(Patience patience = Patience::update) {
    if (requests_.empty()) return;
    const double began = watch_->begin();
    for (int done = 0;;) {
      DEMIX_MPI_TRY(test(done));
      if (done) break;
      watch_->check(began, patience);
      mpi_detail::pause(mpi_detail::seconds() - began);
    }
    requests_.clear();
    watch_->end();
  }

  Mpi split(int color) {
    MPI_Comm part = MPI_COMM_NULL;
    DEMIX_MPI_TRY(MPI_Comm_split(group_->get(), color, rank(), &part));
    return Mpi(std::make_shared<mpi_detail::Group>(part), watch_);
  }

  void barrier() {
    DEMIX_MPI_TRY(MPI_Ibarrier(group_->get(), next_request()));
    wait(Patience::files);
  }

  /// The numbers of all ranks, in their order, or none when they did not all come within so many seconds;
  /// then nothing can be called but abort. Collective.
  std::optional<std::vector<int>> gather_within(double seconds, int number) {
    std::vector<int> numbers(static_cast<std::size_t>(size()));
    DEMIX_MPI_TRY(
        MPI_Iallgather(&number, 1, MPI_INT, numbers.data(), 1, MPI_INT, group_->get(), next_request()));
    const double began = mpi_detail::seconds();
    for (int done = 0;;) {
      DEMIX_MPI_TRY(test(done));
      if (done) break;
      if (mpi_detail::seconds() - began > seconds) return std::nullopt;
      mpi_detail::pause(mpi_detail::seconds() - began);
    }
    requests_.clear();
    return numbers;
  }

  /// How many ranks on this machine may run on the very processors that this one may. Collective.
  int processor_sharers() const {
    MPI_Comm neighbours = MPI_COMM_NULL;
    DEMIX_MPI_TRY(MPI_Comm_split_type(group_->get(), MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &neighbours));
    const mpi_detail::Group group(neighbours);
    cpu_set_t mine;
    CPU_ZERO(&mine);
    ::sched_getaffinity(0, sizeof mine, &mine);
    std::vector<cpu_set_t> all(static_cast<std::size_t>(group.size()));
    DEMIX_MPI_TRY(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all.data(), sizeof mine, MPI_BYTE, neighbours));
    return static_cast<int>(
        std::ranges::count_if(all, [&](const cpu_set_t& other) { return CPU_EQUAL(&mine, &other) != 0; }));
  }

  [[noreturn]] void abort(const std::string& message) {
    std::fprintf(stderr, "%s\n", message.c_str());
    std::fflush(stderr);
    MPI_Abort(MPI_COMM_WORLD, 1);
    std::abort();
  }

 private:
  Mpi(std::shared_ptr<mpi_detail::Group> group, std::shared_ptr<mpi_detail::Watch> watch)
      : group_(std::move(group)), watch_(std::move(watch)) {}

  /// f(piece, count) for pieces of x whose sizes MPI can count.
  template <class T, class F>
  static void in_pieces(std::span<T> x, const F& f) {
    constexpr std::size_t most = std::size_t{1} << 30;
    for (std::size_t i = 0; i < x.size(); i += most) {
      const auto piece = x.subspan(i, std::min(most, x.size() - i));
      f(piece, static_cast<int>(piece.size()));
    }
  }

  void require_parts(std::size_t whole, std::size_t part) const {
    require(part <= INT_MAX && part * static_cast<std::size_t>(size()) == whole, size(), " parts of ", part,
            " elements of ", whole, ": expected equal parts of less than 2^31");
  }

  MPI_Request* next_request() { return &requests_.emplace_back(MPI_REQUEST_NULL); }
  int test(int& done) {
    return MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE);
  }

  std::shared_ptr<mpi_detail::Group> group_;
  std::shared_ptr<mpi_detail::Watch> watch_;
  std::vector<MPI_Request> requests_;
};

static_assert(Communicator<Mpi>);

}  // namespace demix::comm
