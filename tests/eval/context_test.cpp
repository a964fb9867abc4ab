// What a model is asked to read of growing texts, and the losses of their tokens in order: by hand.

#include "demix/eval/context.hpp"

#include <boost/test/unit_test.hpp>

#include "eval/fake_scorer.hpp"

using namespace demix;
using namespace demix::eval;

namespace {

using Sources = std::vector<std::vector<Token>>;

/// Remembers what it was asked to read. Expert d says of a target v that -log p is 100 d + v; its two logits
/// are 100 d + the token.
struct Recorder : test::FakeScorer {
  explicit Recorder(std::size_t text_length) : FakeScorer({"a", "b", "c"}, text_length) {
    config_.vocabulary = 2;
  }

  Sources read, continued;  // the batches without a cache, and with one
  /// What the cache had read before each batch that continued it, and 100 times the number of its sequence.
  std::vector<std::vector<std::size_t>> lengths;

  const ModelConfig& config() const override { return config_; }
  std::unique_ptr<Cache> make_cache(std::size_t sequences) const override {
    auto cache = std::make_unique<FakeCache>(sequences);
    for (std::size_t b = 0; b < sequences; ++b) cache->read[b] = 100 * b;
    return cache;
  }
  std::vector<double> token_losses(const Batch& batch) override {
    read.push_back(batch.source);
    return losses_of(batch);
  }
  std::vector<double> token_losses(const Batch& batch, Cache& cache) override {
    advance(batch, cache);
    return losses_of(batch);
  }
  std::vector<double> next_logits(const Batch& batch) override {
    read.push_back(batch.source);
    return last_rows(batch);
  }
  std::vector<double> next_logits(const Batch& batch, Cache& cache) override {
    advance(batch, cache);
    return last_rows(batch);
  }

 private:
  std::vector<double> last_rows(const Batch& batch) {
    std::vector<double> result;
    for_each_row(batch, [&](double expert, std::size_t r) {
      const std::size_t b = r / batch.sequence_length;
      if (r % batch.sequence_length + 1 == batch.length_of(b))
        result.insert(result.end(), 2, expert + batch.source[r]);
    });
    return result;
  }
  void advance(const Batch& batch, Cache& cache) {
    auto& read_so_far = of(batch, cache).read;
    continued.push_back(batch.source);
    lengths.push_back(read_so_far);
    for (std::size_t b = 0; b < read_so_far.size(); ++b) read_so_far[b] += batch.length_of(b);
  }
  template <class F>
  static void for_each_row(const Batch& batch, F f) {
    for (const Segment& s : batch.segments)
      for (std::size_t r = s.first * batch.sequence_length; r < s.last * batch.sequence_length; ++r)
        f(100.0 * static_cast<double>(index(s.domain)), r);
  }
  static std::vector<double> losses_of(const Batch& batch) {
    std::vector<double> result;
    for_each_row(batch, [&](double expert, std::size_t r) {
      result.push_back(batch.target[r] == pad_token ? 0 : expert + batch.target[r]);
    });
    return result;
  }

  ModelConfig config_;
};

struct Observed {
  std::size_t text;
  std::vector<double> losses;
  bool operator==(const Observed&) const = default;
};

struct Fixture {
  Recorder model{4};
  std::vector<Token> first{2, 4, 5, 6, 7, 8, 9}, second{2, 4};

  Contexts contexts(bool cached) { return Contexts(model, {DomainId{2}, DomainId{0}}, 2, cached); }
  static std::vector<Observed> prompts(Contexts& contexts, const Contexts::Texts& texts) {
    std::vector<Observed> result;
    contexts.read_prompts(texts, [&](std::size_t text, std::span<const double> losses) {
      result.push_back({text, {losses.begin(), losses.end()}});
    });
    return result;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(contexts)

BOOST_AUTO_TEST_CASE(the_context_moves_when_it_is_full_and_keeps_the_newest_half) {
  for (const std::size_t capacity : {1u, 2u, 3u, 6u, 7u, 128u}) {
    std::size_t start = 0;
    for (std::size_t n = 1; n < 10 * capacity; ++n) {
      if (n - start > capacity) start = n - std::max<std::size_t>(1, capacity / 2);
      BOOST_TEST(context_start(n, capacity) == start);
    }
  }
}

// T = 4. The first text's tokens 1 to 4 fill a context; the next one begins at the newest half, [3, 6), and
// is read together with the second text's. The last tokens are not read yet.
BOOST_FIXTURE_TEST_CASE(prompts_are_read_in_contexts_and_every_token_is_observed_once, Fixture) {
  for (const bool cached : {true, false}) {
    model.read.clear();
    model.continued.clear();
    auto both = contexts(cached);
    const auto observed = prompts(both, {first, second});
    const std::vector<Observed> expected{{0, {204, 4}}, {0, {205, 5}}, {0, {206, 6}}, {0, {207, 7}},
                                         {0, {208, 8}}, {0, {209, 9}}, {1, {204, 4}}};
    BOOST_TEST((observed == expected));
    const std::vector<Token> whole{2, 4, 5, 6, 2, 4, 5, 6}, newest{6, 7, 8, 2, 1, 1, 6, 7, 8, 2, 1, 1};
    if (cached) {
      BOOST_TEST((model.read == Sources{whole}));
      BOOST_TEST((model.continued == Sources{newest}));
    } else {
      BOOST_TEST((model.read == Sources{whole, newest}));
      BOOST_TEST(model.continued.empty());
    }
  }
}

BOOST_FIXTURE_TEST_CASE(with_a_cache_a_token_is_read_once_until_a_context_moves, Fixture) {
  auto both = contexts(true);
  prompts(both, {first, second});
  const auto next = both.next_logits({first, second});
  BOOST_TEST(next == (std::vector<double>{209, 209, 204, 204, 9, 9, 4, 4}), boost::test_tools::per_element());
  BOOST_TEST((model.continued.back() == std::vector<Token>{9, 4, 9, 4}));
  BOOST_TEST((model.lengths.back() == std::vector<std::size_t>{3, 101, 203, 301}));

  // With an eighth token the first text's context moves to [6, 8); the second one's is read again as well.
  first.push_back(10);
  second.push_back(5);
  BOOST_TEST(both.next_logits({first, second}) == (std::vector<double>{210, 210, 205, 205, 10, 10, 5, 5}),
             boost::test_tools::per_element());
  BOOST_TEST((model.continued.back() == std::vector<Token>{9, 10, 1, 2, 4, 5, 9, 10, 1, 2, 4, 5}));
  BOOST_TEST((model.lengths.back() == std::vector<std::size_t>{0, 0, 0, 0}));

  both.keep(std::vector<std::size_t>{1});
  second.push_back(6);
  BOOST_TEST(both.next_logits({second}) == (std::vector<double>{206, 206, 6, 6}),
             boost::test_tools::per_element());
  BOOST_TEST((model.continued.back() == std::vector<Token>{6, 6}));
  BOOST_TEST((model.lengths.back() == std::vector<std::size_t>{3, 3}));
}

BOOST_FIXTURE_TEST_CASE(a_text_that_goes_on_keeps_its_sequence_of_every_expert, Fixture) {
  auto both = contexts(true);
  prompts(both, {first, second});
  both.next_logits({first, second});
  both.keep(std::vector<std::size_t>{1});
  second.push_back(5);
  both.next_logits({second});
  BOOST_TEST((model.lengths.back() == std::vector<std::size_t>{102, 302}));
}

BOOST_FIXTURE_TEST_CASE(without_a_cache_the_same_contexts_are_read_for_every_token, Fixture) {
  auto both = contexts(false);
  prompts(both, {first, second});
  model.read.clear();
  BOOST_TEST(both.next_logits({first, second}) == (std::vector<double>{209, 209, 204, 204, 9, 9, 4, 4}),
             boost::test_tools::per_element());
  BOOST_TEST((model.read == Sources{{6, 7, 8, 9}, {2, 4}, {6, 7, 8, 9}, {2, 4}}));
  both.keep(std::vector<std::size_t>{0});
  model.read.clear();
  first.push_back(10);
  BOOST_TEST(both.next_logits({first}) == (std::vector<double>{210, 210, 10, 10}),
             boost::test_tools::per_element());
  BOOST_TEST((model.read == Sources{{9, 10}, {9, 10}}));
  BOOST_TEST(model.continued.empty());
}

BOOST_FIXTURE_TEST_CASE(of_empty_prompts_nothing_is_read_before_the_first_token, Fixture) {
  auto both = contexts(true);
  const std::vector<Token> empty{2};
  BOOST_TEST(prompts(both, {empty, empty}).empty());
  BOOST_TEST(model.read.empty());
  BOOST_TEST(model.continued.empty());
  BOOST_TEST(both.next_logits({empty, empty}) == (std::vector<double>{202, 202, 202, 202, 2, 2, 2, 2}),
             boost::test_tools::per_element());
  BOOST_TEST((model.lengths.back() == std::vector<std::size_t>{0, 100, 200, 300}));
}

BOOST_AUTO_TEST_SUITE_END()
