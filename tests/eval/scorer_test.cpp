// A session as a Scorer: its numbers in double, its caches, and two of them over one set of weights.

#include "demix/eval/scorer.hpp"

#include <boost/mpl/list.hpp>
#include <thread>

#include "demix/eval/generator.hpp"
#include "device/counting.hpp"
#include "eval/fake_scorer.hpp"
#include "model/archetype.hpp"
#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::eval;
using namespace demix::testing;

namespace {

using Dense = DenseModel<device::Cpu, Fp32, ops::Gelu>;
using Token2 = DomainTokenModel<device::Cpu, Fp32, ops::Gelu>;
using Demix = DEMixModel<device::Cpu, Fp32, ops::Gelu>;
using Demix64 = DEMixModel<device::Cpu, Fp64, ops::Gelu>;
using Models = boost::mpl::list<Dense, Token2, Demix, Demix64>;
using WithoutParts =
    LanguageModel<device::Cpu, Fp32, IdentityAttention, LayerNorm, DEMixFFN<ops::Gelu>, NoConditioning>;

/// The tokens [first, last) of three texts, one of domain 0 and two of domain 2, with the next ones as
/// targets, of which every fourth is ignored.
Batch part(std::size_t first, std::size_t last, std::size_t shift = 0) {
  Batch batch;
  batch.sequence_length = last - first;
  batch.segments = {{DomainId{0}, 0, 1}, {DomainId{2}, 1, 3}};
  const auto token = [&](std::size_t b, std::size_t t) {
    return static_cast<Token>(4 + (3 * b + t * t + shift) % 7);
  };
  for (std::size_t b = 0; b < 3; ++b)
    for (std::size_t t = first; t < last; ++t) {
      batch.source.push_back(token(b, t));
      batch.target.push_back((b + t) % 4 == 3 ? pad_token : token(b, t + 1));
    }
  return batch;
}

/// Each number as a double, the same value.
template <class T>
std::vector<double> in_double(const std::vector<T>& numbers) {
  return {numbers.begin(), numbers.end()};
}

template <class Model>
struct Fixture {
  device::Cpu cpu{1};
  Model model;
  SessionScorer<typename Model::Network> scorer{model.session()};

  explicit Fixture(const ModelConfig& config = tiny_config()) : model(cpu, config, three_domains, Seed{3}) {
    perturb(model);
  }
};

/// What a scorer says about texts, in several ways.
std::vector<std::vector<double>> all_that_it_says(Scorer& scorer, std::size_t texts, std::size_t shift) {
  std::vector<std::vector<double>> result;
  for (std::size_t i = 0; i < texts; ++i) {
    result.push_back(scorer.token_losses(part(0, 5, shift + i)));
    result.push_back(scorer.next_logits(part(1, 5, shift + i)));
    const auto cache = scorer.make_cache(3);
    result.push_back(scorer.token_losses(part(0, 3, shift + i), *cache));
    result.push_back(scorer.next_logits(part(3, 5, shift + i), *cache));
  }
  return result;
}

/// Of no session.
struct Silent : test::FakeScorer {
  Silent() : FakeScorer(three_domains) {}
  using FakeScorer::token_losses;
  std::vector<double> token_losses(const Batch&) override { throw Error("not here"); }
};

bool says(const std::exception& error, const char* words) {
  return std::string(error.what()).find(words) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(scorers)

BOOST_AUTO_TEST_CASE_TEMPLATE(it_is_what_its_model_is, Model, Models) {
  Fixture<Model> f;
  const Scorer& scorer = f.scorer;
  BOOST_TEST(scorer.config().describe() == f.model.config().describe());
  BOOST_TEST(scorer.domains() == three_domains, boost::test_tools::per_element());
  constexpr bool is_dense = std::same_as<Model, Dense>, has_tokens = std::same_as<Model, Token2>;
  BOOST_TEST(scorer.has_experts() == (!is_dense && !has_tokens));
  BOOST_TEST(scorer.prefix_length() == (has_tokens ? 1u : 0u));
  BOOST_TEST(scorer.text_length() == (has_tokens ? 5u : 6u));
  BOOST_TEST(scorer.tells_domains_apart() == !is_dense);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(its_numbers_are_the_sessions_in_double, Model, Models) {
  Fixture<Model> f;
  const std::size_t vocabulary = f.model.config().vocabulary;
  const auto losses = f.scorer.token_losses(part(0, 5));
  BOOST_TEST(losses == in_double(f.model.session().token_losses(part(0, 5))),
             boost::test_tools::per_element());
  BOOST_TEST(losses.size() == 15u);
  BOOST_TEST(losses[3] == 0.0);
  BOOST_TEST(losses[4] > 0.0);
  const auto logits = f.scorer.next_logits(part(0, 5));
  BOOST_TEST(logits == in_double(f.model.session().next_logits(part(0, 5))),
             boost::test_tools::per_element());
  BOOST_REQUIRE(logits.size() == 3 * vocabulary);
  const auto of_all = in_double(f.model.session().logits(part(0, 5)));
  const std::size_t length = of_all.size() / (3 * vocabulary);
  const Batch batch = part(0, 5);
  for (std::size_t b = 0; b < 3; ++b) {
    const std::size_t last = length * b + f.scorer.prefix_length() + batch.length_of(b) - 1;
    for (std::size_t v = 0; v < vocabulary; ++v)
      // Another shape of GEMM, in single precision.
      BOOST_TEST(std::fabs(logits[b * vocabulary + v] - of_all[last * vocabulary + v]) <= 1e-5);
  }

  auto cache = f.scorer.make_cache(3);
  auto of_session = f.model.session().make_cache(3);
  for (const auto& [first, last] : {std::pair{0u, 3u}, std::pair{3u, 4u}})
    BOOST_TEST(f.scorer.token_losses(part(first, last), *cache) ==
                   in_double(f.model.session().token_losses(part(first, last), of_session)),
               boost::test_tools::per_element());
  const auto next = f.scorer.next_logits(part(4, 5), *cache);
  BOOST_TEST(next == in_double(f.model.session().next_logits(part(4, 5), of_session)),
             boost::test_tools::per_element());
  BOOST_TEST(next.size() == 3 * vocabulary);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_cache_keeps_and_forgets, Model, Models) {
  Fixture<Model> f;
  const std::size_t vocabulary = f.model.config().vocabulary;
  auto cache = f.scorer.make_cache(3), again = f.scorer.make_cache(3);
  f.scorer.token_losses(part(0, 3), *cache);
  f.scorer.token_losses(part(0, 3), *again);
  const auto next = f.scorer.next_logits(part(3, 4), *again);
  // The third text alone, and twice.
  cache->keep(std::vector<std::size_t>{2, 2});
  Batch third = part(3, 4);
  third.source = {third.source[2], third.source[2]};
  third.target.resize(2);
  third.segments = {{DomainId{2}, 0, 2}};
  const auto kept = f.scorer.next_logits(third, *cache);
  BOOST_TEST(kept.size() == 2 * vocabulary);
  for (std::size_t v = 0; v < 2 * vocabulary; ++v)
    BOOST_TEST(kept[v] == next[2 * vocabulary + v % vocabulary], boost::test_tools::tolerance(1e-5));
  again->clear();
  auto new_cache = f.scorer.make_cache(3);
  BOOST_TEST(f.scorer.token_losses(part(0, 3, 2), *again) == f.scorer.token_losses(part(0, 3, 2), *new_cache),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_cache_of_another_model_is_refused) {
  Fixture<Demix> f;
  ModelConfig wide = tiny_config();
  wide.d_model = 16;
  ModelConfig deep = tiny_config();
  deep.layers = 3;
  Fixture<Dense> dense;
  Fixture<Demix> same, wider(wide), deeper(deep);
  Silent fake;
  const auto is_refused = [](const Error& error) { return says(error, "that another model made"); };
  for (Scorer* const other :
       std::initializer_list<Scorer*>{&dense.scorer, &same.scorer, &wider.scorer, &deeper.scorer, &fake}) {
    const auto cache = other->make_cache(3);
    BOOST_CHECK_EXCEPTION(f.scorer.token_losses(part(0, 3), *cache), Error, is_refused);
    BOOST_CHECK_EXCEPTION(f.scorer.next_logits(part(0, 3), *cache), Error, is_refused);
  }
  // Another scorer of the same session made its cache as well.
  SessionScorer twin(f.model.session());
  const auto cache = twin.make_cache(3), own = f.scorer.make_cache(3);
  BOOST_TEST(f.scorer.next_logits(part(0, 3), *cache) == f.scorer.next_logits(part(0, 3), *own),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(two_threads_over_one_model_say_what_one_says_after_the_other) {
  using Network = Demix::Network;
  device::Cpu loader;
  const Network network(loader, tiny_config(), three_domains);
  Weights<device::Cpu, Fp32> weights(loader, network.layout(), HeldExperts(network.experts()));
  initialize(loader, network.layout(), Seed{3}, weights);
  constexpr std::size_t texts = 60;
  std::vector<std::vector<double>> expected[2], found[2];
  {
    device::Cpu one(1);
    Session<Network> session(one, network, weights);
    SessionScorer scorer(session);
    for (const std::size_t which : {0u, 1u}) expected[which] = all_that_it_says(scorer, texts, which * 3);
  }
  BOOST_TEST((expected[0] != expected[1]));
  const auto score = [&](std::size_t which) {
    device::Cpu own(1);
    Session<Network> session(own, network, weights);
    SessionScorer scorer(session);
    found[which] = all_that_it_says(scorer, texts, which * 3);
  };
  std::thread first(score, 0), second(score, 1);
  first.join();
  second.join();
  for (const std::size_t which : {0u, 1u}) BOOST_TEST((found[which] == expected[which]));
}

BOOST_AUTO_TEST_CASE(another_thread_takes_memory_for_its_buffers_alone) {
  using Network = DEMixModel<CountingDevice, Fp32, ops::Gelu>::Network;
  ModelConfig config = tiny_config();
  config.d_model = 64;
  config.d_ffn = 256;
  CountingDevice loader;
  const Network network(loader, config, three_domains);
  Weights<CountingDevice, Fp32> weights(loader, network.layout(), HeldExperts(network.experts()));
  initialize(loader, network.layout(), Seed{3}, weights);
  const std::size_t of_weights = loader.bytes;
  std::size_t bytes[2], left[2];
  const auto score = [&](std::size_t which) {
    CountingDevice own(1);
    {
      Session<Network> session(own, network, weights);
      SessionScorer scorer(session);
      all_that_it_says(scorer, 3, which);
      bytes[which] = own.bytes;
    }
    left[which] = own.bytes;
  };
  std::thread first(score, 0), second(score, 1);
  first.join();
  second.join();
  BOOST_TEST(loader.bytes == of_weights);
  BOOST_TEST(bytes[0] == bytes[1]);
  BOOST_TEST(bytes[0] > 0u);
  BOOST_TEST(bytes[0] < of_weights / 2);  // far from a copy of them
  BOOST_TEST(left[0] == 0u);
  BOOST_TEST(left[1] == 0u);
}

BOOST_AUTO_TEST_CASE(a_model_that_cannot_read_in_parts_refuses_caches_and_says_what_works) {
  Fixture<WithoutParts> f(tiny_config(Positions::none));
  const auto is_refused = [](const Error& error) {
    return says(error, "has no forward_cached: generate without a cache, and mix with all experts");
  };
  BOOST_CHECK_EXCEPTION(f.scorer.make_cache(3), Error, is_refused);
  Silent fake;
  const auto cache = fake.make_cache(3);
  BOOST_CHECK_EXCEPTION(f.scorer.token_losses(part(0, 3), *cache), Error, is_refused);
  BOOST_CHECK_EXCEPTION(f.scorer.next_logits(part(0, 3), *cache), Error, is_refused);
  BOOST_TEST(f.scorer.token_losses(part(0, 5)).size() == 15u);

  GenerateSettings settings;
  settings.max_tokens = 12;
  settings.stop_at_document_end = false;
  std::vector<bool> allowed(11, true);
  std::fill_n(allowed.begin(), 4, false);
  const Sampler greedy({0, 0, 1, Seed{1}}, allowed);
  const std::vector<Prompt> prompts{{{4, 5, 6}, 0}, {{7}, 0}};
  BOOST_CHECK_EXCEPTION(Generator(f.scorer, settings, greedy, prompts), Error, is_refused);
  settings.cache = false;
  Generator generator(f.scorer, settings, greedy, prompts);
  std::vector<std::vector<Token>> texts(2);
  while (!generator.finished())
    for (const TextToken& next : generator.step()) texts[next.text].push_back(next.token);
  BOOST_TEST(texts[0].size() == 3u + 12u);
  BOOST_TEST(texts[1].size() == 1u + 12u);
  // Nothing mixes the positions of this model and none has a place, so a token follows from the one before.
  for (std::size_t i = 0; i < texts.size(); ++i)
    for (std::size_t t = prompts[i].tokens.size(); t < texts[i].size(); ++t) {
      const auto logits = f.scorer.next_logits({1, {texts[i][t - 1]}, {pad_token}, {{DomainId{0}, 0, 1}}});
      const auto best = std::max_element(logits.begin() + 4, logits.end());
      BOOST_TEST(texts[i][t] == static_cast<Token>(best - logits.begin()));
    }
}

BOOST_AUTO_TEST_SUITE_END()
