#include "demix/train/validation.hpp"

#include "train/rank_runs.hpp"

using namespace demix;
using namespace demix::test;

namespace {

const std::vector<std::string> four{"a", "b", "c", "d"};

/// Validation by ranks that hold what `placement_of(rank)` says; who scored which domain.
template <class Model, class PlacementOf>
std::vector<train::Validation> validations(const RunSetting& setting, int ranks,
                                           const PlacementOf& placement_of,
                                           std::map<std::size_t, int>& scored_by) {
  std::vector<train::Validation> result(static_cast<std::size_t>(ranks));
  std::mutex mutex;
  ThreadComm::run(ranks, [&](ThreadComm comm) {
    const comm::Placement placement = placement_of(comm.rank());
    device::Cpu device(1);
    Model model(device, small_config(), four, Model::has_experts ? placement.held_experts() : HeldExperts(0));
    initialize(device, model.layout(), Seed{3}, model.weights());
    auto text = setting.open(model.text_length(), {});
    for (const DomainId domain : placement.domains) {
      text.domains.push_back(domain);
      text.valid.push_back(
          data::open_split(setting.data(), four[index(domain)], "valid", 11, model.text_length()));
    }
    comm::Agreement together(device, comm);
    Faulty<Model> heard(model, [&, rank = comm.rank()](const std::string&, const Batch& batch) {
      const std::lock_guard lock(mutex);
      const auto [there, is_new] = scored_by.try_emplace(index(batch.segments.front().domain), rank);
      require(is_new || there->second == rank, "two ranks score one domain");
    });
    result[static_cast<std::size_t>(comm.rank())] =
        train::validate(heard, text, placement, together, {}, [] {});
  });
  return result;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(validation)

BOOST_AUTO_TEST_CASE(any_ranks_find_the_numbers_of_one_process_bit_for_bit) {
  const RunSetting setting(four);
  std::map<std::size_t, int> scored_by;
  const auto check = [&]<class Model>(const std::vector<int>& all_ranks, const auto& place) {
    scored_by.clear();
    const auto expected = validations<Model>(
                              setting, 1, [&](int) { return comm::Placement::whole(4); }, scored_by)
                              .front();
    BOOST_TEST(expected.perplexities.size() == 4u);
    double sum = 0;
    for (const auto& [name, perplexity] : expected.perplexities) sum += perplexity;
    BOOST_TEST(expected.average == sum / 4);
    for (const int ranks : all_ranks) {
      scored_by.clear();
      for (const auto& found : validations<Model>(
               setting, ranks, [&](int rank) { return place(rank, ranks, std::size_t{4}); }, scored_by)) {
        BOOST_TEST((found.perplexities == expected.perplexities));
        BOOST_TEST(found.average == expected.average);
      }
      BOOST_TEST(scored_by.size() == 4u);
    }
  };
  check.operator()<Experts>({2, 4, 8}, comm::Placement::by_domain);
  BOOST_TEST((scored_by == std::map<std::size_t, int>{{0, 0}, {1, 2}, {2, 4}, {3, 6}}));
  check.operator()<Dense>({2, 3, 6}, comm::Placement::by_sequence);
  check.operator()<Dense>({2}, comm::Placement::by_sequence);
  BOOST_TEST((scored_by == std::map<std::size_t, int>{{0, 0}, {1, 1}, {2, 0}, {3, 1}}));
}

BOOST_AUTO_TEST_CASE(fewer_batches_are_scored_where_that_is_asked_for) {
  const RunSetting setting;
  device::Cpu device(1);
  Experts model(device, small_config(), two_domains, Seed{3});
  const auto text = setting.open(model.text_length(), two_domains);
  train::Trainable trainable(model);
  comm::Self self;
  comm::Agreement alone(device, self);
  const auto placement = comm::Placement::whole(2);
  std::size_t polls = 0;
  const auto poll = [&] { ++polls; };
  const auto first = train::validate(trainable, text, placement, alone, {{}, 0, 1}, poll);
  BOOST_TEST(polls == 2u);
  const auto all = train::validate(trainable, text, placement, alone, {}, poll);
  BOOST_TEST(polls > 4u);
  BOOST_TEST(first.average != all.average);
}

BOOST_AUTO_TEST_SUITE_END()
