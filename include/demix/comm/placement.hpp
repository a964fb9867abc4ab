#pragma once
// Which rank trains what.

#include <vector>

#include "demix/core/error.hpp"
#include "demix/model/parameter_layout.hpp"

namespace demix::comm {

/// One rank's share of a run. The ranks of a run see together what one process sees with `replicas` times as
/// many micro-batches in an update: of the micro-batch at position p of the run, those with replica p mod
/// replicas take the sequences of their domains.
struct Placement {
  int rank = 0, ranks = 1;
  std::vector<DomainId> domains;  // whose text this rank reads, ascending
  std::size_t all_domains = 0;
  std::size_t replicas = 1;  // ranks that hold the same experts
  std::size_t replica = 0;   // this one's number among them
  int group = 0;             // the same on all ranks that hold the same experts, and on no other

  /// One process for everything.
  static Placement whole(std::size_t all_domains) { return data_parallel(0, 1, all_domains); }

  /// Every rank holds the whole model and reads all domains.
  static Placement data_parallel(int rank, int ranks, std::size_t all_domains) {
    require_rank(rank, ranks);
    Placement result{
        rank, ranks, {}, all_domains, static_cast<std::size_t>(ranks), static_cast<std::size_t>(rank), 0};
    for (std::size_t d = 0; d < all_domains; ++d) result.domains.push_back(DomainId(static_cast<int>(d)));
    return result;
  }

  /// A DEMix model of a domain per expert. With fewer ranks than domains, rank r holds domains r, r + ranks,
  /// ...; with k times as many, k consecutive ranks hold the same domain, so that they share a node. Throws
  /// Error for another number of ranks.
  static Placement expert_parallel(int rank, int ranks, std::size_t all_domains) {
    require_rank(rank, ranks);
    const auto r = static_cast<std::size_t>(rank), n = static_cast<std::size_t>(ranks);
    require(n <= all_domains || n % all_domains == 0, ranks, " ranks for ", all_domains,
            " domains: their number must be at most ", all_domains, ", or a multiple of it");
    Placement result{rank, ranks, {}, all_domains, 1, 0, rank};
    if (n <= all_domains) {
      for (std::size_t d = r; d < all_domains; d += n)
        result.domains.push_back(DomainId(static_cast<int>(d)));
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

  /// The position in the run of this rank's micro-batch number `own`.
  std::uint64_t position(std::uint64_t own) const { return own * replicas + replica; }

 private:
  static void require_rank(int rank, int ranks) {
    require(ranks > 0 && rank >= 0 && rank < ranks, "rank ", rank, " of ", ranks);
  }
};

}  // namespace demix::comm
