#include "demix/comm/placement.hpp"

#include <boost/test/unit_test.hpp>
#include <map>
#include <set>

using namespace demix;
using comm::Placement;

namespace {

std::vector<std::size_t> indices(const std::vector<DomainId>& domains) {
  std::vector<std::size_t> result;
  for (const DomainId d : domains) result.push_back(index(d));
  return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(placement)

BOOST_AUTO_TEST_CASE(fewer_ranks_than_domains_hold_several) {
  const auto first = Placement::by_domain(0, 2, 4), second = Placement::by_domain(1, 2, 4);
  BOOST_TEST(indices(first.domains) == (std::vector<std::size_t>{0, 2}), boost::test_tools::per_element());
  BOOST_TEST(indices(second.domains) == (std::vector<std::size_t>{1, 3}), boost::test_tools::per_element());
  BOOST_TEST(first.replicas == 1u);
  BOOST_TEST(first.group != second.group);
  BOOST_TEST(second.held_experts().contains(ExpertId{3}));
  BOOST_TEST(!second.held_experts().contains(ExpertId{2}));
  BOOST_TEST(second.held_experts().all() == 4u);
  BOOST_TEST(first.position(7) == 7u);
}

BOOST_AUTO_TEST_CASE(replicas_of_a_domain_are_consecutive_and_take_turns) {
  for (int rank = 0; rank < 8; ++rank) {
    const auto p = Placement::by_domain(rank, 8, 4);
    BOOST_TEST(indices(p.domains) == (std::vector<std::size_t>{static_cast<std::size_t>(rank) / 2}),
               boost::test_tools::per_element());
    BOOST_TEST(p.replicas == 2u);
    BOOST_TEST(p.replica == static_cast<std::size_t>(rank % 2));
    BOOST_TEST(p.group == rank / 2);
    BOOST_TEST(p.position(3) == 6u + static_cast<std::size_t>(rank % 2));
  }
}

BOOST_AUTO_TEST_CASE(every_domain_has_a_rank_and_none_has_two_groups) {
  for (const std::size_t domains : {1u, 3u, 4u, 8u})
    for (int ranks = 1; ranks <= 16; ++ranks) {
      if (static_cast<std::size_t>(ranks) > domains && static_cast<std::size_t>(ranks) % domains != 0) {
        BOOST_CHECK_THROW(Placement::by_domain(0, ranks, domains), Error);
        continue;
      }
      std::set<std::pair<std::size_t, int>> groups;
      std::set<std::size_t> seen;
      for (int rank = 0; rank < ranks; ++rank) {
        const auto p = Placement::by_domain(rank, ranks, domains);
        for (const DomainId d : p.domains) groups.insert({index(d), p.group}), seen.insert(index(d));
      }
      BOOST_TEST(seen.size() == domains);
      BOOST_TEST(groups.size() == domains);
    }
}

BOOST_AUTO_TEST_CASE(every_region_has_one_that_speaks_for_it) {
  for (const int ranks : {1, 2, 4, 8}) {
    std::map<RegionId, int> speakers;
    for (int rank = 0; rank < ranks; ++rank) {
      const auto p = Placement::by_domain(rank, ranks, 4);
      speakers[RegionId::shared()] += p.speaks_for(RegionId::shared());
      const auto held = p.held_experts();
      for (const ExpertId expert : held.list()) speakers[expert] += p.speaks_for(expert);
    }
    BOOST_TEST(speakers.size() == 5u);
    for (const auto& [region, count] : speakers) BOOST_TEST(count == 1);
  }
  BOOST_TEST(!Placement::by_sequence(1, 2, 4).speaks_for(RegionId::shared()));
}

BOOST_AUTO_TEST_CASE(without_experts_any_number_of_ranks_shares_the_sequences) {
  const auto check = [](int ranks, std::size_t parts) {
    std::set<std::pair<std::size_t, std::size_t>> shares;
    std::set<std::size_t> readers;
    for (int rank = 0; rank < ranks; ++rank) {
      const auto p = Placement::by_sequence(rank, ranks, 4);
      BOOST_TEST(p.domains.size() == 4u);
      BOOST_TEST(p.parts == parts);
      BOOST_TEST(p.parts * p.replicas == static_cast<std::size_t>(ranks));
      BOOST_TEST(p.readers() == static_cast<std::size_t>(ranks));
      shares.insert({p.part, p.replica});
      readers.insert(p.reader());
    }
    BOOST_TEST(shares.size() == static_cast<std::size_t>(ranks));
    BOOST_TEST(*readers.rbegin() == static_cast<std::size_t>(ranks) - 1);
  };
  for (const auto& [ranks, parts] :
       {std::pair{1, 1u}, {2, 2u}, {3, 3u}, {4, 4u}, {5, 1u}, {6, 3u}, {7, 1u}, {8, 4u}})
    check(ranks, parts);
  BOOST_TEST(Placement::by_sequence(5, 8, 4).position(3) == 7u);
  BOOST_TEST(Placement::by_sequence(5, 8, 4).part == 2u);
  BOOST_TEST(Placement::whole(4).replicas == 1u);
  BOOST_CHECK_THROW(Placement::by_sequence(3, 3, 4), Error);
  BOOST_CHECK_THROW(Placement::by_sequence(-1, 3, 4), Error);
}

BOOST_AUTO_TEST_SUITE_END()
