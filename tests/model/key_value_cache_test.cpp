#include "demix/model/key_value_cache.hpp"

#include <boost/mpl/list.hpp>

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

using Dense = DenseModel<device::Cpu, Fp64, ops::Gelu>;
using Token2 = DomainTokenModel<device::Cpu, Fp64, ops::Gelu>;
using Demix = DEMixModel<device::Cpu, Fp64, ops::Gelu>;
using Models = boost::mpl::list<Dense, Token2, Demix>;

/// Positions [first, last) of every sequence.
Batch slice(const Batch& batch, std::size_t first, std::size_t last) {
  Batch result;
  result.sequence_length = last - first;
  result.segments = batch.segments;
  for (std::size_t b = 0; b < batch.sequences(); ++b)
    for (std::size_t t = first; t < last; ++t) {
      result.source.push_back(batch.source[b * batch.sequence_length + t]);
      result.target.push_back(batch.target[b * batch.sequence_length + t]);
    }
  return result;
}

/// Three sequences of five tokens whose sources never are padding.
Batch whole_batch() {
  Batch batch = random_batch(5, {{0, 1}, {2, 2}}, 5);
  for (Token& token : batch.source)
    if (token == pad_token) token = 7;
  return batch;
}

template <class Model>
struct Fixture {
  device::Cpu cpu{1};
  Model model{cpu, tiny_config(), three_domains, Seed{3}};
  Fixture() { perturb(model); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(key_value_cache)

BOOST_AUTO_TEST_CASE_TEMPLATE(reading_in_parts_gives_the_losses_of_reading_at_once, Model, Models) {
  Fixture<Model> f;
  const Batch batch = whole_batch();
  const auto expected = f.model.token_losses(batch);
  for (const std::vector<std::size_t>& cuts :
       {std::vector<std::size_t>{0, 5}, {0, 1, 2, 3, 4, 5}, {0, 3, 5}}) {
    auto cache = f.model.make_cache(3);
    std::vector<double> losses(expected.size());
    for (std::size_t part = 0; part + 1 < cuts.size(); ++part) {
      const std::size_t n = cuts[part + 1] - cuts[part];
      const auto some = f.model.token_losses(slice(batch, cuts[part], cuts[part + 1]), cache);
      for (std::size_t b = 0; b < 3; ++b)
        for (std::size_t t = 0; t < n; ++t) losses[b * 5 + cuts[part] + t] = some[b * n + t];
    }
    DEMIX_CHECK_CLOSE(losses, expected, 1e-12);
    for (const std::size_t length : cache.lengths()) BOOST_TEST(length == 5 + Model::prefix_length);
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(the_next_logits_are_those_of_the_last_position, Model, Models) {
  Fixture<Model> f;
  const Batch batch = whole_batch();
  const std::size_t vocabulary = f.model.config().vocabulary, rows = 5 + Model::prefix_length;
  const auto all = f.model.logits(batch);
  auto cache = f.model.make_cache(3);
  f.model.token_losses(slice(batch, 0, 3), cache);
  const auto next = f.model.next_logits(slice(batch, 3, 5), cache);
  std::vector<double> expected;
  for (std::size_t b = 0; b < 3; ++b) {
    const auto row = all.begin() + static_cast<std::ptrdiff_t>(((b + 1) * rows - 1) * vocabulary);
    expected.insert(expected.end(), row, row + static_cast<std::ptrdiff_t>(vocabulary));
  }
  DEMIX_CHECK_CLOSE(next, expected, 1e-12);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(sequences_of_unequal_length_read_on_where_each_ends, Model, Models) {
  Fixture<Model> f;
  const Batch batch = whole_batch();
  const auto expected = f.model.token_losses(batch);
  // Sequence b first reads 3, 1 and 2 tokens, then one token after the other.
  const std::size_t first[] = {3, 1, 2};
  Batch start = slice(batch, 0, 3);
  for (std::size_t b = 0; b < 3; ++b)
    for (std::size_t t = first[b]; t < 3; ++t) start.source[b * 3 + t] = start.target[b * 3 + t] = pad_token;
  auto cache = f.model.make_cache(3);
  f.model.token_losses(start, cache);
  for (std::size_t b = 0; b < 3; ++b) BOOST_TEST(cache.lengths()[b] == first[b] + Model::prefix_length);
  for (std::size_t step = 0; step < 2; ++step) {
    Batch batch1 = slice(batch, 0, 1);
    for (std::size_t b = 0; b < 3; ++b) {
      batch1.source[b] = batch.source[b * 5 + first[b] + step];
      batch1.target[b] = batch.target[b * 5 + first[b] + step];
    }
    const auto losses = f.model.token_losses(batch1, cache);
    for (std::size_t b = 0; b < 3; ++b)
      BOOST_TEST(losses[b] == expected[b * 5 + first[b] + step], boost::test_tools::tolerance(1e-10));
  }
}

BOOST_AUTO_TEST_CASE(keep_selects_repeats_and_reorders_sequences) {
  Fixture<Demix> f;
  const Batch batch = whole_batch();
  auto cache = f.model.make_cache(3);
  f.model.token_losses(slice(batch, 0, 3), cache);
  const std::vector<std::size_t> order{2, 1, 2, 0};
  cache.keep(order);
  Batch rest, whole;
  rest.sequence_length = 2;
  whole.sequence_length = 5;
  rest.segments = whole.segments = {{DomainId{2}, 0, 3}, {DomainId{0}, 3, 4}};
  for (const std::size_t b : order) {
    rest.source.insert(rest.source.end(), &batch.source[b * 5 + 3], &batch.source[b * 5 + 3] + 2);
    rest.target.insert(rest.target.end(), &batch.target[b * 5 + 3], &batch.target[b * 5 + 3] + 2);
    whole.source.insert(whole.source.end(), &batch.source[b * 5], &batch.source[b * 5] + 5);
    whole.target.insert(whole.target.end(), &batch.target[b * 5], &batch.target[b * 5] + 5);
  }
  const auto expected = f.model.token_losses(whole);
  const auto losses = f.model.token_losses(rest, cache);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t t = 0; t < 2; ++t)
      BOOST_TEST(losses[i * 2 + t] == expected[i * 5 + 3 + t], boost::test_tools::tolerance(1e-10));
  BOOST_CHECK_THROW(cache.keep(std::vector<std::size_t>{4}), Error);
}

BOOST_AUTO_TEST_CASE(a_cleared_cache_starts_again) {
  Fixture<Token2> f;
  const Batch batch = whole_batch();
  auto cache = f.model.make_cache(3);
  const auto once = f.model.token_losses(batch, cache);
  cache.clear();
  BOOST_TEST(cache.empty());
  BOOST_TEST(f.model.token_losses(batch, cache) == once, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_does_not_fit_is_refused) {
  Fixture<Demix> f;
  const Batch batch = whole_batch();
  auto cache = f.model.make_cache(3), other = f.model.make_cache(2);
  BOOST_CHECK_THROW(f.model.token_losses(batch, other), Error);
  f.model.token_losses(batch, cache);
  BOOST_CHECK_THROW(f.model.token_losses(slice(batch, 0, 2), cache), Error);  // 5 + 2 > 6
  Batch nothing = slice(batch, 0, 1);
  nothing.source[1] = pad_token;
  BOOST_CHECK_THROW(f.model.next_logits(nothing, cache), Error);
}

BOOST_AUTO_TEST_SUITE_END()
