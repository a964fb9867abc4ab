#include "demix/data/batcher.hpp"

#include <boost/test/unit_test.hpp>
#include <map>
#include <set>

#include "data/support.hpp"

using namespace demix;

namespace {

data::BlockDataset open_numbered(const test::TemporaryFolder& folder, const std::string& name) {
  return data::BlockDataset(data::TokenFile(folder.path / name, 1000), 2);
}

/// A split of `blocks` blocks of 2 tokens, each block of its own first token.
data::BlockDataset numbered(const test::TemporaryFolder& folder, const std::string& name, int blocks) {
  data::TokenFileWriter writer(folder.path / name, 1000);
  for (int b = 0; b < blocks; ++b) writer.add(std::vector<Token>{100 + b, 3});
  writer.finish();
  return open_numbered(folder, name);
}

std::vector<data::BlockDataset> three_domains(const test::TemporaryFolder& folder) {
  std::vector<data::BlockDataset> datasets;
  datasets.push_back(numbered(folder, "a", 5));
  datasets.push_back(numbered(folder, "b", 10));
  datasets.push_back(numbered(folder, "c", 45));
  return datasets;
}

const std::vector<DomainId> in_order{DomainId(0), DomainId(1), DomainId(2)};

}  // namespace

BOOST_AUTO_TEST_SUITE(batcher)

BOOST_AUTO_TEST_CASE(balanced_batches_take_each_domain_alike_and_deal_out_every_block_each_epoch) {
  const test::TemporaryFolder folder;
  const auto datasets = three_domains(folder);
  const data::TrainBatcher batcher(datasets, data::numbered(in_order), data::Sampling::balanced, 2, Seed{1});
  std::vector<std::vector<Token>> seen(3);
  for (std::uint64_t position = 0; position < 45; ++position) {
    const Batch batch = batcher.batch(position);
    batch.validate(1000, 3);
    BOOST_TEST(batch.sequences() == 6u);
    for (std::size_t d = 0; d < 3; ++d) {
      BOOST_TEST(index(batch.segments.at(d).domain) == static_cast<int>(d));
      for (std::size_t s = batch.segments[d].first; s < batch.segments[d].last; ++s)
        seen[d].push_back(batch.target[2 * s]);
    }
  }
  const std::vector<std::size_t> blocks{5, 10, 45};
  for (std::size_t d = 0; d < 3; ++d) {
    std::set<std::vector<Token>> orders;
    for (std::size_t first = 0; first + blocks[d] <= seen[d].size(); first += blocks[d]) {
      const std::vector<Token> epoch(seen[d].begin() + static_cast<std::ptrdiff_t>(first),
                                     seen[d].begin() + static_cast<std::ptrdiff_t>(first + blocks[d]));
      BOOST_TEST(std::set<Token>(epoch.begin(), epoch.end()).size() == blocks[d]);
      orders.insert(epoch);
    }
    BOOST_TEST(orders.size() > 1u);
  }
}

BOOST_AUTO_TEST_CASE(unbalanced_batches_deal_out_the_concatenation) {
  const test::TemporaryFolder folder;
  const auto datasets = three_domains(folder);
  const data::TrainBatcher batcher(datasets, data::numbered(in_order), data::Sampling::unbalanced, 2,
                                   Seed{1});
  std::map<int, std::multiset<Token>> seen;
  for (std::uint64_t position = 0; position < 10; ++position) {
    const Batch batch = batcher.batch(position);
    batch.validate(1000, 3);
    BOOST_TEST(batch.sequences() == 6u);
    for (const auto& segment : batch.segments)
      for (std::size_t s = segment.first; s < segment.last; ++s)
        seen[index(segment.domain)].insert(batch.target[2 * s]);
  }
  BOOST_TEST(seen[0].size() == 5u);
  BOOST_TEST(seen[1].size() == 10u);
  BOOST_TEST(seen[2].size() == 45u);
  for (const auto& [domain, tokens] : seen)
    BOOST_TEST(std::set<Token>(tokens.begin(), tokens.end()).size() == tokens.size());
}

BOOST_AUTO_TEST_CASE(a_batch_depends_on_position_and_seed_alone) {
  const test::TemporaryFolder folder;
  const auto datasets = three_domains(folder);
  const data::TrainBatcher one(datasets, data::numbered(in_order), data::Sampling::balanced, 3, Seed{1}),
      again(datasets, data::numbered(in_order), data::Sampling::balanced, 3, Seed{1}),
      other(datasets, data::numbered(in_order), data::Sampling::balanced, 3, Seed{2});
  one.batch(3);
  BOOST_TEST(one.batch(7).target == again.batch(7).target, boost::test_tools::per_element());
  BOOST_TEST((one.batch(7).target != other.batch(7).target));
  BOOST_TEST((one.batch(7).target != one.batch(8).target));
}

BOOST_AUTO_TEST_CASE(evaluation_batches_go_through_the_split_once) {
  const test::TemporaryFolder folder;
  const auto dataset = numbered(folder, "a", 5);
  const Batch last = data::evaluation_batch(dataset, 3, 4, DomainId(2));
  BOOST_TEST(last.sequences() == 2u);
  BOOST_TEST(last.target[0] == 103);
  BOOST_TEST(index(last.segments.at(0).domain) == 2);
}

BOOST_AUTO_TEST_CASE(texts_may_be_of_any_domains_of_the_model) {
  const test::TemporaryFolder folder;
  const auto datasets = three_domains(folder);
  for (const auto sampling : {data::Sampling::balanced, data::Sampling::unbalanced}) {
    const data::TrainBatcher plain(datasets, data::numbered(in_order), sampling, 2, Seed{1}),
        renamed(datasets, data::numbered({DomainId(7), DomainId(2), DomainId(9)}), sampling, 2, Seed{1});
    for (std::uint64_t position = 0; position < 10; ++position) {
      const Batch expected = plain.batch(position), batch = renamed.batch(position);
      batch.validate(1000, 10);
      BOOST_TEST(batch.target == expected.target, boost::test_tools::per_element());
      BOOST_REQUIRE(batch.segments.size() == expected.segments.size());
      for (std::size_t s = 0; s < batch.segments.size(); ++s) {
        const std::size_t ids[] = {7, 2, 9};
        BOOST_TEST(index(batch.segments[s].domain) == ids[index(expected.segments[s].domain)]);
        BOOST_TEST(batch.segments[s].last == expected.segments[s].last);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(ranks_that_share_the_texts_draw_what_one_process_draws) {
  const test::TemporaryFolder folder;
  const auto datasets = three_domains(folder);
  std::vector<data::BlockDataset> outer, inner;
  outer.push_back(open_numbered(folder, "a"));
  outer.push_back(open_numbered(folder, "c"));
  inner.push_back(open_numbered(folder, "b"));
  const data::TrainBatcher whole(datasets, data::numbered(in_order), data::Sampling::balanced, 2, Seed{1}),
      first(outer, {{DomainId(0), 0}, {DomainId(2), 2}}, data::Sampling::balanced, 2, Seed{1}),
      second(inner, {{DomainId(1), 1}}, data::Sampling::balanced, 2, Seed{1});
  for (std::uint64_t position = 0; position < 10; ++position) {
    const Batch all = whole.batch(position);
    for (const auto* part : {&first, &second}) {
      const Batch batch = part->batch(position);
      for (const auto& segment : batch.segments)
        for (std::size_t s = segment.first; s < segment.last; ++s) {
          const std::size_t there = segment.first_of_all + s - segment.first, length = all.sequence_length;
          BOOST_TEST(std::equal(batch.source.begin() + static_cast<std::ptrdiff_t>(s * length),
                                batch.source.begin() + static_cast<std::ptrdiff_t>((s + 1) * length),
                                all.source.begin() + static_cast<std::ptrdiff_t>(there * length)));
        }
    }
  }
  BOOST_CHECK_THROW(
      data::TrainBatcher(outer, {{DomainId(0), 0}, {DomainId(2), 2}}, data::Sampling::unbalanced, 2, Seed{1}),
      Error);
}

BOOST_AUTO_TEST_CASE(parts_of_a_batch_make_up_the_whole) {
  const test::TemporaryFolder folder;
  const auto datasets = three_domains(folder);
  const auto batcher = [&](data::Sampling sampling, data::BatchPart part) {
    return data::TrainBatcher(datasets, data::numbered(in_order), sampling, 2, Seed{1}, part);
  };
  for (const auto sampling : {data::Sampling::balanced, data::Sampling::unbalanced})
    for (const std::size_t parts : {1u, 2u, 3u, 4u, 6u})
      for (std::uint64_t position = 0; position < 10; ++position) {
        const Batch all = batcher(sampling, {}).batch(position);
        std::vector<Token> source;
        for (std::size_t part = 0; part < parts; ++part) {
          const Batch batch = batcher(sampling, {part, parts}).batch(position);
          batch.validate(1000, 3);
          BOOST_TEST(batch.sequences() >= 6 / parts);
          BOOST_TEST(batch.sequences() <= (6 + parts - 1) / parts);
          for (const auto& segment : batch.segments) {
            BOOST_TEST(segment.first_of_all == source.size() / all.sequence_length + segment.first);
            const auto whose = std::ranges::find_if(all.segments, [&](const auto& there) {
              return there.first <= segment.first_of_all && segment.first_of_all < there.last;
            });
            BOOST_TEST((whose->domain == segment.domain));
          }
          source.insert(source.end(), batch.source.begin(), batch.source.end());
        }
        BOOST_TEST(source == all.source, boost::test_tools::per_element());
      }
  BOOST_CHECK_THROW(batcher(data::Sampling::balanced, {0, 7}), Error);
  BOOST_CHECK_THROW(batcher(data::Sampling::balanced, {2, 2}), Error);
  BOOST_CHECK_THROW(batcher(data::Sampling::balanced, {0, 0}), Error);
  BOOST_CHECK_THROW(data::TrainBatcher(datasets, {{DomainId(0), 1}, {DomainId(1), 0}, {DomainId(2), 2}},
                                       data::Sampling::balanced, 2, Seed{1}, {0, 2}),
                    Error);
}

BOOST_AUTO_TEST_CASE(an_empty_batch_is_an_error) {
  const std::vector<data::BlockDataset> none;
  BOOST_CHECK_THROW(data::TrainBatcher(none, {}, data::Sampling::balanced, 1, Seed{1}), Error);
  const test::TemporaryFolder folder;
  const auto datasets = three_domains(folder);
  BOOST_CHECK_THROW(
      data::TrainBatcher(datasets, data::numbered(in_order), data::Sampling::balanced, 0, Seed{1}), Error);
  BOOST_CHECK_THROW(
      data::TrainBatcher(datasets, data::numbered({DomainId(0)}), data::Sampling::balanced, 1, Seed{1}),
      Error);
}

BOOST_AUTO_TEST_SUITE_END()
