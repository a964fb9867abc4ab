#pragma once
// A program as one of the ranks of a run: how it was started, and how all of them end.

#include <optional>
#include <string_view>

#include "demix/comm/launch.hpp"
#include "demix/program/run_program.hpp"

namespace demix::program {

/// The ranks of a run, of which this process is one: those that a launcher started, else this one alone. One
/// for a program, made first and destroyed last.
class Ranks {
 public:
  /// Throws UsageError when a launcher started several processes that cannot find each other.
  Ranks() : Ranks(comm::Launch::of_environment()) {}

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

  explicit Ranks(const comm::Launch& launch) : world_(launch) {
    if (launch.processes > 1 && size() == 1)
      throw UsageError(concat("this is one of ", launch.processes, " processes, but MPI knows of one; ",
                              comm::World::remedy));
  }

  comm::World world_;
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
