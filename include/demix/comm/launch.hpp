#pragma once
// How a process was started, and the others that were started with it.

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "demix/comm/any.hpp"
#include "demix/comm/self.hpp"
#include "demix/core/number.hpp"
#ifdef DEMIX_MPI
#include "demix/comm/mpi.hpp"
#endif

namespace demix::comm {

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
    environment_ = std::make_unique<MpiEnvironment>(timeout);
    comm_.emplace(timeout);
    end_.emplace(comm_->split(0));
    sharers_ = comm_->processor_sharers();
  }
  static constexpr const char* remedy = "with SLURM, start them by srun --mpi=pmix";

  int rank() const { return comm_ ? comm_->rank() : 0; }
  int size() const { return comm_ ? comm_->size() : 1; }
  int sharers() const { return sharers_; }
  Any communicator() const { return size() > 1 ? Any(Mpi(*comm_)) : Any(Self()); }
  std::optional<std::vector<int>> codes(int code, double seconds) {
    return end_->gather_within(seconds, code);
  }
  [[noreturn]] void abort(const std::string& message) { comm_->abort(message); }

 private:
  std::unique_ptr<MpiEnvironment> environment_;
  std::optional<Mpi> comm_, end_;  // for the work, and for the end alone, which may come at any time
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
  Any communicator() const { return Any(Self()); }
  std::optional<std::vector<int>> codes(int code, double) { return std::vector{code}; }
  [[noreturn]] void abort(const std::string& message) { Self().abort(message); }
};
#endif

}  // namespace demix::comm
