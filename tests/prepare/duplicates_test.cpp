#include "demix/prepare/duplicates.hpp"

#include <set>

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;

namespace {

/// A folder of documents, of which every third text stands there four times.
struct Copies : TemporaryFolder {
  Copies() {
    for (int i = 0; i < 600; ++i) {
      const int text = i % 3 == 0 ? i / 12 : 1000 + i;
      write_file(path / "in" / std::to_string(i), "the text of number " + std::to_string(text));
    }
    documents =
        std::make_unique<prepare::DocumentIndex>(prepare::open_documents(path / "in", "text", path / "spool"),
                                                 path / "documents", 2, [](std::uint64_t) {});
  }

  std::vector<std::multiset<std::string>> splits(const prepare::SplitPlan& plan) const {
    std::vector<std::multiset<std::string>> result;
    for (const auto& range : plan.ranges) {
      result.emplace_back();
      for (auto at = range.first; at < range.last; ++at)
        result.back().insert(documents->text(plan.order(at)));
    }
    return result;
  }

  std::array<std::uint64_t, 3> counted(const prepare::SplitPlan& plan) const {
    return prepare::count_shared_documents(*documents, plan, (path / "scratch").string(), [] {});
  }

  prepare::SplitPlan together(const prepare::SplitSettings& settings, std::uint64_t seed) const {
    return prepare::plan_splits_without_shared("law", *documents, settings, Seed{seed},
                                               (path / ("plan" + std::to_string(seed))).string(), [] {});
  }

  std::unique_ptr<prepare::DocumentIndex> documents;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(duplicates)

BOOST_FIXTURE_TEST_CASE(what_splits_share_is_counted, Copies) {
  prepare::SplitSettings settings;
  settings.valid_fraction = settings.test_fraction = 0.1;
  const auto plan = prepare::plan_splits(
      "law", documents->size(), documents->words(), [&](std::uint64_t i) { return documents->words(i); },
      settings, Seed{1});
  const auto texts = splits(plan);
  std::array<std::uint64_t, 3> expected{};
  for (std::size_t s = 0; s < 3; ++s)
    for (const auto& text : texts[s])
      expected[s] += texts[(s + 1) % 3].count(text) + texts[(s + 2) % 3].count(text) > 0;
  BOOST_TEST(expected[1] > 10u);
  BOOST_TEST((counted(plan) == expected));
}

BOOST_FIXTURE_TEST_CASE(identical_documents_stay_together, Copies) {
  prepare::SplitSettings fractions, words;
  fractions.valid_fraction = fractions.test_fraction = 0.1;
  words.train_words = 1500;
  words.valid_words = words.test_words = 300;
  for (const auto& settings : {fractions, words}) {
    const auto plan = together(settings, 1);
    BOOST_TEST((counted(plan) == std::array<std::uint64_t, 3>{}));
    const auto texts = splits(plan);
    std::set<std::uint64_t> used;
    for (const auto& range : plan.ranges)
      for (auto at = range.first; at < range.last; ++at) used.insert(plan.order(at));
    BOOST_TEST(used.size() == texts[0].size() + texts[1].size() + texts[2].size());
    if (!settings.train_words) BOOST_TEST(used.size() == 600u);
    for (const std::size_t s : {1u, 2u}) {  // 300 words are 60 documents, and up to 3 more copies
      BOOST_TEST(texts[s].size() >= 60u);
      BOOST_TEST(texts[s].size() <= 63u);
    }
    // Copies are not side by side: a model would learn to look back.
    std::size_t neighbours = 0;
    for (auto at = plan.ranges[0].first; at + 1 < plan.ranges[0].last; ++at)
      neighbours += documents->text(plan.order(at)) == documents->text(plan.order(at + 1));
    BOOST_TEST(neighbours < 20u);
    BOOST_TEST((splits(together(settings, 2)) != texts));
  }
}

BOOST_AUTO_TEST_SUITE_END()
