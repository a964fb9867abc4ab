#include "demix/prepare/splits.hpp"

#include <numeric>
#include <set>

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;
using prepare::SplitPlan;
using prepare::SplitSettings;

namespace {

SplitPlan plan(const std::vector<std::uint64_t>& words, const SplitSettings& settings, std::uint64_t seed = 1,
               const std::string& domain = "law") {
  const auto total = std::accumulate(words.begin(), words.end(), std::uint64_t{0});
  return prepare::plan_splits(
      domain, words.size(), total, [&](std::uint64_t i) { return words[i]; }, settings, Seed{seed});
}

std::vector<std::set<std::uint64_t>> members(const SplitPlan& p) {
  std::vector<std::set<std::uint64_t>> result(3);
  for (std::size_t s = 0; s < 3; ++s)
    for (auto at = p.ranges[s].first; at < p.ranges[s].last; ++at) result[s].insert(p.order(at));
  return result;
}

std::uint64_t words_in(const std::set<std::uint64_t>& split, const std::vector<std::uint64_t>& words) {
  std::uint64_t sum = 0;
  for (const auto i : split) sum += words[i];
  return sum;
}

std::vector<std::uint64_t> uneven_words(std::size_t n) {
  std::vector<std::uint64_t> words(n);
  for (std::size_t i = 0; i < n; ++i) words[i] = 50 + i * 37 % 100;
  return words;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(splits)

BOOST_AUTO_TEST_CASE(fractions_are_of_words_and_every_document_is_used_once) {
  const auto words = uneven_words(2000);
  const auto total = std::accumulate(words.begin(), words.end(), std::uint64_t{0});
  SplitSettings settings;
  settings.valid_fraction = 0.1;
  settings.test_fraction = 0.05;
  const auto split = members(plan(words, settings));
  BOOST_TEST(split[0].size() + split[1].size() + split[2].size() == 2000u);
  std::set<std::uint64_t> all;
  for (const auto& each : split) all.insert(each.begin(), each.end());
  BOOST_TEST(all.size() == 2000u);
  const auto share = [&](std::size_t s) {
    return static_cast<double>(words_in(split[s], words)) / static_cast<double>(total);
  };
  BOOST_TEST(share(1) >= 0.1);
  BOOST_TEST(share(1) < 0.1 + 150.0 / static_cast<double>(total));
  BOOST_TEST(share(2) >= 0.05);
  BOOST_TEST(share(2) < 0.05 + 150.0 / static_cast<double>(total));
}

BOOST_AUTO_TEST_CASE(word_counts_fill_train_valid_test_in_order) {
  const std::vector<std::uint64_t> words(100, 10);
  SplitSettings settings;
  settings.train_words = 500;
  settings.valid_words = 95;
  settings.test_words = 1;
  const auto p = plan(words, settings);
  BOOST_TEST(p.ranges[0].first == 0u);
  BOOST_TEST(p.ranges[0].last == 50u);
  BOOST_TEST(p.ranges[1].first == 50u);
  BOOST_TEST(p.ranges[1].last == 60u);
  BOOST_TEST(p.ranges[2].first == 60u);
  BOOST_TEST(p.ranges[2].last == 61u);
  settings.train_words.reset();  // the rest
  const auto rest = plan(words, settings);
  BOOST_TEST(rest.ranges[0].last - rest.ranges[0].first == 89u);
}

BOOST_AUTO_TEST_CASE(depends_on_seed_and_domain_only) {
  const auto words = uneven_words(300);
  const auto reference = members(plan(words, {}));
  BOOST_TEST((members(plan(words, {})) == reference));
  BOOST_TEST((members(plan(words, {}, 2)) != reference));
  BOOST_TEST((members(plan(words, {}, 1, "code")) != reference));
}

BOOST_AUTO_TEST_CASE(three_documents_suffice_and_fewer_do_not) {
  for (const auto& split : members(plan({5, 1000, 5}, {}))) BOOST_TEST(split.size() == 1u);
  for (const auto& split : members(plan({0, 0, 0}, {}))) BOOST_TEST(split.size() == 1u);
  check_mentions(error_of([&] { plan({5, 5}, {}); }), {"'law'", "2 documents"});
}

BOOST_AUTO_TEST_CASE(a_split_that_would_be_empty_is_an_error) {
  SplitSettings settings;
  settings.train_words = 1000;
  settings.valid_words = settings.test_words = 10;
  check_mentions(error_of([&] { plan(std::vector<std::uint64_t>(20, 50), settings); }),
                 {"'law'", "valid split", "20 documents", "1000 words"});
  settings.train_words = 990;
  check_mentions(error_of([&] { plan(std::vector<std::uint64_t>(21, 50), settings); }), {"test split"});
  settings.train_words.reset();
  settings.valid_words = 2000;
  check_mentions(error_of([&] { plan(std::vector<std::uint64_t>(20, 50), settings); }),
                 {"split would be empty"});
}

BOOST_AUTO_TEST_CASE(groups_are_dealt_whole) {
  SplitSettings settings;
  settings.valid_words = settings.test_words = 10;
  prepare::SplitFiller filler(settings, 100, 1000);
  BOOST_TEST(filler.deal(2, 6).value() == 1u);
  BOOST_TEST(filler.deal(50, 500).value() == 0u);  // half of all for 10 words: that is for training
  BOOST_TEST(filler.deal(3, 40).value() == 1u);
  BOOST_TEST(filler.deal(1, 400).value() == 2u);  // one document is dealt, as without groups
  BOOST_TEST(!filler.full());
  BOOST_TEST(filler.deal(44, 54).value() == 0u);
  BOOST_TEST(filler.full());
  settings.train_words = 10;
  prepare::SplitFiller in_order(settings, 10, 100);
  for (const std::size_t split : {0u, 1u, 2u}) BOOST_TEST(in_order.deal(2, 10).value() == split);
  BOOST_TEST(!in_order.deal(2, 10).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
