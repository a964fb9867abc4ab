#pragma once
// A program as one of the ranks of a run: how it was started, and how all of them end.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "demix/comm/any.hpp"
#include "demix/comm/self.hpp"
#include "demix/core/number.hpp"
#include "demix/program/run_program.hpp"
#ifdef DEMIX_MPI
#include "demix/comm/mpi.hpp"
#endif

namespace demix::program {

/// How long ranks wait for each other, and a process for MPI to start: the environment's DEMIX_RANK_TIMEOUT,
/// in seconds, 0 for ever; or 40 s, so that a run with a lost rank ends within a minute. Throws UsageError.
inline double rank_timeout() {
  const char* text = std::getenv("DEMIX_RANK_TIMEOUT");
  if (text == nullptr) return 40;
  const auto seconds = parse_real(text);
  if (!seconds || *seconds < 0)
    throw UsageError(concat("DEMIX_RANK_TIMEOUT: expected seconds, 0 or above, found '", text, "'"));
  return *seconds;
}

/// What the launcher says of this process (mpirun of Open MPI and of MPICH, srun).
struct Launch {
  bool by_mpi = false;  // MPI can find the others
  int processes = 1;    // of the run

  static Launch of_environment() {
    const auto number = [](const char* name) {
      const char* text = std::getenv(name);
      return text == nullptr ? 0 : std::atoi(text);
    };
    Launch launch;
    for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"})
      launch.by_mpi = launch.by_mpi || std::getenv(name) != nullptr;
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
      if (launch.processes <= 1) launch.processes = std::max(1, number(name));
    return launch;
  }
};

#ifdef DEMIX_MPI
/// The processes that MPI knows of.
class World {
 public:
  explicit World(const Launch& launch) {
    if (!launch.by_mpi) return;
    const double timeout = rank_timeout();
    environment_ = std::make_unique<comm::MpiEnvironment>(timeout);
    comm_.emplace(timeout);
    end_.emplace(comm_->split(0));
    sharers_ = comm_->processor_sharers();
  }
  static constexpr const char* remedy = "with SLURM, start them by srun --mpi=pmix";

  int rank() const { return comm_ ? comm_->rank() : 0; }
  int size() const { return comm_ ? comm_->size() : 1; }
  int sharers() const { return sharers_; }
  comm::Any communicator() const {
    return size() > 1 ? comm::Any(comm::Mpi(*comm_)) : comm::Any(comm::Self());
  }
  std::optional<std::vector<int>> codes(int code, double seconds) {
    return end_->gather_within(seconds, code);
  }
  [[noreturn]] void abort(const std::string& message) { comm_->abort(message); }

 private:
  std::unique_ptr<comm::MpiEnvironment> environment_;
  std::optional<comm::Mpi> comm_, end_;  // for the work, and for the end alone, which may come at any time
  int sharers_ = 1;
};
#else
/// This process alone.
class World {
 public:
  explicit World(const Launch&) {}
  static constexpr const char* remedy =
      "this program was built without it: install it (libopenmpi-dev) and build again, or start one process";

  int rank() const { return 0; }
  int size() const { return 1; }
  int sharers() const { return 1; }
  comm::Any communicator() const { return comm::Any(comm::Self()); }
  std::optional<std::vector<int>> codes(int code, double) { return std::vector{code}; }
  [[noreturn]] void abort(const std::string& message) { comm::Self().abort(message); }
};
#endif

/// The ranks of a run, of which this process is one: those that a launcher started, else this one alone. One
/// for a program, made first and destroyed last.
class Ranks {
 public:
  /// Throws UsageError when a launcher started several processes that cannot find each other.
  Ranks() : Ranks(Launch::of_environment()) {}

  int rank() const { return world_.rank(); }
  int size() const { return world_.size(); }
  bool is_first() const { return rank() == 0; }
  /// How many ranks may run on the very processors that this one may.
  int sharers() const { return world_.sharers(); }
  /// All ranks.
  comm::Any communicator() const { return world_.communicator(); }

  /// The exit code of a rank that came to this end. What all ranks end with is told once. Where the others do
  /// not come to theirs, because this one failed alone or another is lost, all are ended.
  int end(const Ending& here) {
    if (size() == 1) return tell(here);
    if (!here.rank_lost) try {
        if (const auto codes = world_.codes(here.code, here.code == 0 ? end_seconds : failure_seconds))
          return is_first() || codes->front() == 0 ? tell(here) : here.code;
      } catch (const comm::RankLost&) {
        // There is nobody left to agree with.
      }
    world_.abort(here.message.empty() ? concat("rank ", rank(), " ended alone")
                                      : concat(here.message, " (told by rank ", rank(), ")"));
  }

 private:
  static constexpr double end_seconds = 900, failure_seconds = 5;

  explicit Ranks(const Launch& launch) : world_(launch) {
    if (launch.processes > 1 && size() == 1)
      throw UsageError(
          concat("this is one of ", launch.processes, " processes, but MPI knows of one; ", World::remedy));
  }

  World world_;
};

/// Runs the body of a program that may be one of several ranks; like run_program.
template <class Body>
int run_on_ranks(std::string_view name, Body&& body) {
  std::optional<Ranks> ranks;
  const Ending started = ending_of(name, [&] {
    ranks.emplace();
    return 0;
  });
  if (started.code != 0) return tell(started);
  return ranks->end(ending_of(name, [&] { return body(*ranks); }));
}

}  // namespace demix::program
