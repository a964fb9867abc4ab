#pragma once
// Which rank trains what.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/model/parameter_layout.hpp"

namespace demix::comm {

/// One rank's share of a run. The ranks of a run see together what one process sees with `replicas` times as
/// many micro-batches in an update: of the micro-batch at position p of the run, those with replica p mod
/// replicas take the sequences, of their domains, of their part.
struct Placement {
  int rank = 0, ranks = 1;
  std::vector<DomainId> domains;  // whose text this rank reads, ascending
  std::size_t all_domains = 0;
  std::size_t replicas = 1;  // micro-batches that are made side by side
  std::size_t replica = 0;   // which of them this rank has a share of
  int group = 0;             // the same on all ranks that hold the same experts, and on no other
  std::size_t parts = 1;     // equal parts of a micro-batch's sequences, each of another rank
  std::size_t part = 0;      // this rank's

  /// One process for everything.
  static Placement whole(std::size_t all_domains) { return by_sequence(0, 1, all_domains); }

  /// A model without experts: every rank holds all of it, and takes a part of the sequences. A micro-batch is
  /// shared out among the most ranks that divide `ranks` and are at most `all_domains`, the whole of it where
  /// `ranks` is; so such a run has the batches of one with by_domain wherever that is possible. Ranks whose
  /// micro-batches differ are consecutive. Throws Error for a rank that is not below `ranks`.
  static Placement by_sequence(int rank, int ranks, std::size_t all_domains) {
    require_rank(rank, ranks);
    const auto r = static_cast<std::size_t>(rank), n = static_cast<std::size_t>(ranks);
    std::size_t parts = std::max<std::size_t>(1, std::min(n, all_domains));
    while (n % parts != 0) --parts;
    Placement result{rank, ranks, {}, all_domains};
    for (std::size_t d = 0; d < all_domains; ++d) result.domains.push_back(DomainId(static_cast<int>(d)));
    result.replicas = n / parts;
    result.replica = r % result.replicas;
    result.parts = parts;
    result.part = r / result.replicas;
    return result;
  }

  /// A DEMix model of a domain per expert: a rank reads and holds its domains only. With fewer ranks than
  /// domains, rank r has domains r, r + ranks, ...; with k times as many, k consecutive ranks have the same
  /// domain, so that they share a node. Throws Error for another number of ranks.
  static Placement by_domain(int rank, int ranks, std::size_t all_domains) {
    require_rank(rank, ranks);
    const auto r = static_cast<std::size_t>(rank), n = static_cast<std::size_t>(ranks);
    require(n <= all_domains || n % all_domains == 0, ranks, " ranks for the experts of ", all_domains,
            " domains: their number must be at most ", all_domains, ", or a multiple of it; the nearest are ",
            n - n % all_domains, " and ", n - n % all_domains + all_domains);
    Placement result{rank, ranks, {}, all_domains};
    if (n <= all_domains) {
      for (std::size_t d = r; d < all_domains; d += n)
        result.domains.push_back(DomainId(static_cast<int>(d)));
      result.group = rank;
      return result;
    }
    result.replicas = n / all_domains;
    result.replica = r % result.replicas;
    result.group = static_cast<int>(r / result.replicas);
    result.domains = {DomainId(result.group)};
    return result;
  }

  /// The experts of a DEMix model that this rank holds.
  HeldExperts held_experts() const {
    std::vector<ExpertId> held;
    for (const DomainId domain : domains) held.push_back(ExpertId(static_cast<int>(index(domain))));
    return HeldExperts(all_domains, std::move(held));
  }

  /// Whether this rank, of all those that hold a region, speaks for it: counts it, and saves it.
  bool speaks_for(RegionId region) const { return region.is_shared() ? rank == 0 : replica == 0; }

  /// The ranks that read this one's domains, and its number among them.
  std::size_t readers() const { return replicas * parts; }
  std::size_t reader() const { return part * replicas + replica; }

  /// The position in the run of this rank's micro-batch number `own`.
  std::uint64_t position(std::uint64_t own) const { return own * replicas + replica; }

 private:
  static void require_rank(int rank, int ranks) {
    require(ranks > 0 && rank >= 0 && rank < ranks, "rank ", rank, " of ", ranks);
  }
};

}  // namespace demix::comm
