// Generation against a naive one: every token from a whole context, one text and one expert at a time, with
// products of probabilities for the posterior.

#include "demix/eval/generator.hpp"

#include <boost/mpl/list.hpp>

#include "eval/fixed_model.hpp"
#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::eval;
using namespace demix::testing;

namespace {

using Dense = DenseModel<device::Cpu, Fp64, ops::Gelu>;
using Token2 = DomainTokenModel<device::Cpu, Fp64, ops::Gelu>;
using Demix = DEMixModel<device::Cpu, Fp64, ops::Gelu>;
using Models = boost::mpl::list<Dense, Token2, Demix>;

struct Continuation {
  std::vector<Token> tokens;
  std::vector<std::vector<double>> posteriors;
  std::vector<Token> prompt = {};
  std::vector<std::vector<double>> prompt_posteriors = {};
  bool operator==(const Continuation&) const = default;
};

std::vector<Continuation> run(Scorer& model, const GenerateSettings& settings, const Sampler& sampler,
                              const std::vector<Prompt>& prompts) {
  std::vector<Continuation> result(prompts.size());
  std::vector<int> ended(prompts.size(), 0);
  Generator generator(model, settings, sampler, prompts);
  while (!generator.finished())
    for (const TextToken& next : generator.step()) {
      BOOST_TEST(ended.at(next.text) == 0);
      Continuation& text = result[next.text];
      (next.drawn ? text.tokens : text.prompt).push_back(next.token);
      (next.drawn ? text.posteriors : text.prompt_posteriors).push_back(next.posterior);
      ended[next.text] += next.last;
    }
  BOOST_TEST(generator.step().empty());
  BOOST_TEST(ended == std::vector<int>(prompts.size(), 1));
  return result;
}

template <class Model>
std::vector<Continuation> run(Model& model, const GenerateSettings& settings, const Sampler& sampler,
                              const std::vector<Prompt>& prompts) requires requires {
  model.session();
}
{
  SessionScorer scorer(model.session());
  return run(static_cast<Scorer&>(scorer), settings, sampler, prompts);
}

/// p_j(v) after this context, by a forward pass of its own.
template <class Model>
std::vector<double> probabilities(Model& model, std::vector<Token> context, DomainId expert) {
  Batch batch;
  batch.sequence_length = context.size();
  batch.source = std::move(context);
  batch.target.assign(batch.sequence_length, pad_token);
  batch.segments = {{expert, 0, 1}};
  const auto logits = model.logits(batch);
  std::vector<double> p(logits.end() - static_cast<std::ptrdiff_t>(model.config().vocabulary), logits.end());
  double total = 0;
  for (double& each : p) total += each = std::exp(each);
  for (double& each : p) each /= total;
  return p;
}

template <class Model>
Continuation naive(Model& model, const GenerateSettings& settings, const Sampler& sampler,
                   const Prompt& prompt) {
  Continuation result;
  const std::size_t experts = settings.experts.size(), capacity = model.text_length();
  std::vector<Token> text{eos_token};
  std::vector<double> weights = settings.prior;
  std::size_t start = 0;
  Draw draw{generate_detail::hash_of(prompt.tokens), prompt.sample, 0};
  for (bool last = false; !last;) {
    if (text.size() - start > capacity) start = text.size() - capacity / 2;
    std::vector<std::vector<double>> p;
    for (const DomainId expert : settings.experts)
      p.push_back(
          probabilities(model, {text.begin() + static_cast<std::ptrdiff_t>(start), text.end()}, expert));
    double total = 0;
    for (const double w : weights) total += w;
    std::vector<double> log_mixture;
    for (std::size_t v = 0; v < p[0].size(); ++v) {
      double mixture = 0;
      for (std::size_t j = 0; j < experts; ++j) mixture += weights[j] / total * p[j][v];
      log_mixture.push_back(std::log(mixture));
    }
    std::vector<double> posterior;
    for (const double w : weights) posterior.push_back(w / total);
    Token token;
    if (text.size() <= prompt.tokens.size()) {
      token = prompt.tokens[text.size() - 1];
      result.prompt.push_back(token);
      result.prompt_posteriors.push_back(posterior);
    } else {
      token = sampler.draw(log_mixture, draw);
      ++draw.position;
      result.tokens.push_back(token);
      result.posteriors.push_back(posterior);
      last = draw.position == settings.max_tokens || (token == eos_token && settings.stop_at_document_end);
    }
    for (std::size_t j = 0; j < experts; ++j)
      weights[j] = (settings.over == PosteriorOver::prefix ? weights[j] / total : settings.prior[j]) *
                   p[j][static_cast<std::size_t>(token)];
    text.push_back(token);
  }
  return result;
}

void check_same(const std::vector<Continuation>& found, const std::vector<Continuation>& expected) {
  BOOST_REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    BOOST_TEST(found[i].tokens == expected[i].tokens, boost::test_tools::per_element());
    BOOST_REQUIRE(found[i].posteriors.size() == expected[i].posteriors.size());
    for (std::size_t t = 0; t < found[i].posteriors.size(); ++t)
      DEMIX_CHECK_CLOSE(found[i].posteriors[t], expected[i].posteriors[t], 1e-8);
    BOOST_TEST(found[i].prompt == expected[i].prompt, boost::test_tools::per_element());
    BOOST_REQUIRE(found[i].prompt_posteriors.size() == expected[i].prompt_posteriors.size());
    for (std::size_t t = 0; t < found[i].prompt.size(); ++t)
      DEMIX_CHECK_CLOSE(found[i].prompt_posteriors[t], expected[i].prompt_posteriors[t], 1e-8);
  }
}

/// T = 6: contexts move several times in 25 tokens, and two of the prompts are longer than a context.
const std::vector<Prompt> prompts{{{4, 5, 6}, 0}, {{}, 0},        {{7, 8, 9, 10, 4, 5, 6, 7, 3, 9, 10}, 0},
                                  {{10}, 0},      {{4, 5, 6}, 1}, {{9, 9, 8, 7, 6, 5}, 0}};

/// The reserved tokens but </s> are not drawn.
Sampler drawing(double temperature = 1, std::uint64_t seed = 1, std::size_t top_k = 0) {
  std::vector<bool> allowed(11, true);
  allowed[bos_token] = allowed[pad_token] = allowed[unk_token] = false;
  return Sampler({temperature, top_k, 1, Seed{seed}}, allowed);
}

template <class Model>
struct Fixture {
  device::Cpu cpu{1};
  Model model{cpu, tiny_config(), three_domains, Seed{3}};
  GenerateSettings settings;
  Fixture() {
    perturb(model);
    settings.max_tokens = 25;
    settings.stop_at_document_end = false;
  }

  std::vector<Continuation> naively(const Sampler& sampler) {
    std::vector<Continuation> result;
    for (const Prompt& prompt : prompts) result.push_back(naive(model, settings, sampler, prompt));
    return result;
  }
  /// With a cache, without, all prompts at once and each alone: what the naive one says.
  void check(const Sampler& sampler = drawing()) {
    const auto expected = naively(sampler);
    for (const bool cache : {true, false}) {
      settings.cache = cache;
      check_same(run(model, settings, sampler, prompts), expected);
      for (std::size_t i = 0; i < prompts.size(); ++i)
        check_same(run(model, settings, sampler, {prompts[i]}), {expected[i]});
    }
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(generation)

BOOST_AUTO_TEST_CASE_TEMPLATE(one_expert, Model, Models) {
  Fixture<Model> f;
  for (const int expert : {0, 2}) {
    f.settings.experts = {DomainId{expert}};
    f.check();
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(greedy_is_the_argmax_of_every_context, Model, Models) {
  Fixture<Model> f;
  f.settings.experts = {DomainId{1}};
  f.check(drawing(0));
  BOOST_TEST(f.naively(drawing(0))[0].tokens == f.naively(drawing(0, 7))[4].tokens);
  BOOST_TEST(f.naively(drawing(0))[0].tokens == f.naively(drawing(1, 7, 1))[0].tokens);
}

using Mixable = boost::mpl::list<Token2, Demix>;
BOOST_AUTO_TEST_CASE_TEMPLATE(a_mixture, Model, Mixable) {
  Fixture<Model> f;
  f.settings.experts = {DomainId{2}, DomainId{0}, DomainId{1}};
  f.settings.prior = {0.2, 0.5, 0.3};
  for (const auto over : {PosteriorOver::prefix, PosteriorOver::previous_token}) {
    f.settings.over = over;
    f.check();
    f.check(drawing(0.7, 9, 4));
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_document_ends_its_text_while_others_go_on, Model, Models) {
  Fixture<Model> f;
  f.settings.stop_at_document_end = true;
  if (Model::has_experts || Model::prefix_length > 0) {
    f.settings.experts = {DomainId{2}, DomainId{0}};
    f.settings.prior = {0.6, 0.4};
  }
  std::size_t ended = 0;
  for (std::uint64_t seed = 1; seed < 5; ++seed) {
    f.check(drawing(1, seed));
    for (const auto& each : f.naively(drawing(1, seed))) ended += each.tokens.size() < 25;
  }
  BOOST_TEST(ended > 4u);
  BOOST_TEST(ended < 24u);
}

BOOST_AUTO_TEST_CASE(a_prior_of_one_is_that_expert_alone) {
  Fixture<Demix> f;
  f.settings.experts = {DomainId{1}};
  const auto alone = run(f.model, f.settings, drawing(), prompts);
  f.settings.experts = {DomainId{0}, DomainId{1}, DomainId{2}};
  f.settings.prior = {0, 1, 0};
  for (const auto over : {PosteriorOver::prefix, PosteriorOver::previous_token}) {
    f.settings.over = over;
    const auto mixed = run(f.model, f.settings, drawing(), prompts);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      BOOST_TEST(mixed[i].tokens == alone[i].tokens);
      for (const auto& posterior : mixed[i].posteriors)
        BOOST_TEST(posterior == (std::vector<double>{0, 1, 0}), boost::test_tools::per_element());
    }
  }
  f.settings.prior = {0.5, 0, 0.5};  // of two
  const auto two = run(f.model, f.settings, drawing(), prompts);
  f.settings.experts = {DomainId{0}, DomainId{2}};
  f.settings.prior = {0.5, 0.5};
  const auto two_alone = run(f.model, f.settings, drawing(), prompts);
  for (std::size_t i = 0; i < prompts.size(); ++i) BOOST_TEST(two[i].tokens == two_alone[i].tokens);
}

BOOST_AUTO_TEST_CASE(seeds_samples_and_repetitions) {
  Fixture<Demix> f;
  const auto once = run(f.model, f.settings, drawing(), prompts),
             again = run(f.model, f.settings, drawing(), prompts),
             other = run(f.model, f.settings, drawing(1, 2), prompts);
  BOOST_CHECK(once == again);
  for (std::size_t i = 0; i < prompts.size(); ++i) BOOST_TEST(once[i].tokens != other[i].tokens);
  BOOST_TEST(once[0].tokens != once[4].tokens);
  BOOST_TEST(once[0].tokens.size() == 25u);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_drawn_does_not_come) {
  Fixture<Token2> f;
  f.settings.max_tokens = 60;
  for (const auto& each : run(f.model, f.settings, drawing(), prompts))
    for (const Token token : each.tokens) BOOST_TEST((token == eos_token || (token >= 4 && token < 11)));
  f.settings.max_tokens = 0;
  BOOST_CHECK_THROW(run(f.model, f.settings, drawing(), prompts), Error);
}

BOOST_AUTO_TEST_CASE(a_damaged_model_is_an_error) {
  Fixture<Demix> f;
  f.model.weights().master().region(RegionId::shared())[0] = std::nan("");
  BOOST_CHECK_THROW(run(f.model, f.settings, drawing(), {{{}, 0}}), Error);
}

namespace {

const std::vector<std::vector<double>> table{{0.8, 0.1, 0.1}, {0.1, 0.6, 0.3}};

}  // namespace

// Prior 1:3 and the prompt 4 4 6: the likelihoods are 0.8 0.8 0.1 = 0.064 and 0.1 0.1 0.3 = 0.003, so the
// posterior is 0.064 : 0.009, and after a 5 0.0064 : 0.0054. Over the previous token it is 0.1 : 0.9.
BOOST_AUTO_TEST_CASE(fixed_distributions_by_hand) {
  test::FixedModel model(table);
  GenerateSettings settings;
  settings.experts = {DomainId{0}, DomainId{1}};
  settings.prior = {0.25, 0.75};
  settings.max_tokens = 2;
  const Sampler five({0, 0, 1, Seed{1}}, {false, false, false, false, false, true, false});
  auto result = run(model, settings, five, {{{4, 4, 6}, 0}})[0];
  BOOST_TEST(result.tokens == (std::vector<Token>{5, 5}));
  DEMIX_CHECK_CLOSE(result.prompt_posteriors[0], settings.prior, 1e-12);
  DEMIX_CHECK_CLOSE(result.prompt_posteriors[2], (std::vector<double>{64 / 67.0, 3 / 67.0}), 1e-12);
  DEMIX_CHECK_CLOSE(result.posteriors[0], (std::vector<double>{64 / 73.0, 9 / 73.0}), 1e-12);
  DEMIX_CHECK_CLOSE(result.posteriors[1], (std::vector<double>{64 / 118.0, 54 / 118.0}), 1e-12);
  settings.over = PosteriorOver::previous_token;
  result = run(model, settings, five, {{{4, 4, 6}, 0}})[0];
  DEMIX_CHECK_CLOSE(result.posteriors[0], (std::vector<double>{0.1, 0.9}), 1e-12);
  DEMIX_CHECK_CLOSE(result.posteriors[1], (std::vector<double>{1 / 19.0, 18 / 19.0}), 1e-12);
}

BOOST_AUTO_TEST_CASE(the_first_token_is_distributed_as_the_mixture_says) {
  test::FixedModel model(table);
  GenerateSettings settings;
  settings.experts = {DomainId{0}, DomainId{1}};
  settings.prior = {0.25, 0.75};
  settings.max_tokens = 1;
  const Sampler sampler({1, 0, 1, Seed{5}}, std::vector<bool>(7, true));
  std::vector<Prompt> many;
  for (std::uint32_t i = 0; i < 5000; ++i) many.push_back({{6, 4, 4}, i});
  std::vector<double> counts(7, 0);
  for (const auto& each : run(model, settings, sampler, many))
    ++counts[static_cast<std::size_t>(each.tokens[0])];
  double chi_square = 0;
  for (std::size_t v = 0; v < 3; ++v) {
    const double expected = 5000 * (64 * table[0][v] + 9 * table[1][v]) / 73;
    chi_square += (counts[4 + v] - expected) * (counts[4 + v] - expected) / expected;
  }
  BOOST_TEST(chi_square < 27.6);  // 2 degrees of freedom: p = 1e-6
}

BOOST_AUTO_TEST_CASE(an_expert_whose_posterior_a_double_cannot_hold_still_counts) {
  // e^-800 of an expert that is sure, and nearly all of one that has no idea: e^-800 + e^-801.
  const auto mixed = generate_detail::mixed_log_p(std::vector<double>{0, -800}, {{-801}, {0}});
  BOOST_TEST(mixed.front() == -800 + std::log1p(std::exp(-1.0)), boost::test_tools::tolerance(1e-14));
}

BOOST_AUTO_TEST_SUITE_END()
