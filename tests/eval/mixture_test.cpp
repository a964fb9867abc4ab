#include "demix/eval/mixture.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>

#include "demix/eval/prior.hpp"
#include "eval/fixed_model.hpp"

using namespace demix;
using namespace demix::eval;
using namespace demix::test;

namespace {

constexpr double exact = 1e-12;

std::vector<double> log_of(std::vector<double> probabilities) {
  for (double& each : probabilities) each = -std::log(each);
  return probabilities;
}

constexpr Ensemble all_ensembles[] = {Ensemble::simple_average, Ensemble::uniform_prior,
                                      Ensemble::updating_prior, Ensemble::cached_prior};

}  // namespace

BOOST_AUTO_TEST_SUITE(mixture)

BOOST_AUTO_TEST_CASE(every_ensemble_with_either_posterior_equals_the_formulas) {
  FixedSplit f;
  const auto dataset = f.dataset();
  for (const std::size_t sequences : {1u, 2u, 3u})
    for (const Ensemble ensemble : all_ensembles)
      for (const PosteriorOver over : {PosteriorOver::prefix, PosteriorOver::previous_token})
        BOOST_TEST_CONTEXT(name_of(ensemble) << ", " << name_of(over) << ", " << sequences << " sequences") {
          const auto prior =
              ensemble == Ensemble::cached_prior ? std::vector<double>{0.1, 0.3, 0.6} : uniform_prior(3);
          const auto expected = directly(ensemble, over, prior, sequences);
          std::vector<Mixture> mixtures{Mixture(ensemble, over, prior)};
          std::size_t batch = 0;
          score_mixtures(f.model, dataset, f.settings(sequences), mixtures, [&](const ExpertLosses&) {
            check_close(mixtures[0].batch_posteriors().back(), expected.batch_posteriors[batch], 1e-6);
            check_close(mixtures[0].average_posterior(), expected.averages[batch++], 1e-6);
          });
          BOOST_TEST(batch == expected.batch_posteriors.size());
          BOOST_TEST(mixtures[0].tokens() == split_text.size());
          BOOST_TEST(std::fabs(mixtures[0].loss() * 16 - expected.loss_sum) <= 1e-6);
          check_close(mixtures[0].prior(), expected.prior_at_end, 1e-6);
        }
}

BOOST_AUTO_TEST_CASE(hand_values) {
  const std::vector<double> prior{0.5, 0.5};
  for (const auto over : {PosteriorOver::prefix, PosteriorOver::previous_token}) {
    SequencePosterior s(over, prior);
    check_close(s.posterior(), {0.5, 0.5}, exact);
    // The first token has 0.8 and 0.2: the mixture says 0.5, the posterior becomes 4 : 1.
    BOOST_TEST(s.observe(log_of({0.8, 0.2})) == -std::log(0.5), boost::test_tools::tolerance(exact));
    check_close(s.posterior(), {0.8, 0.2}, exact);
    // The second one has 0.25 and 0.5: 0.8 / 4 + 0.2 / 2 = 0.3.
    BOOST_TEST(s.observe(log_of({0.25, 0.5})) == -std::log(0.3), boost::test_tools::tolerance(exact));
    // The whole prefix: 4/4 : 1/2; the previous token alone: 1 : 2.
    check_close(s.posterior(),
                over == PosteriorOver::prefix ? std::vector<double>{2.0 / 3, 1.0 / 3}
                                              : std::vector<double>{1.0 / 3, 2.0 / 3},
                exact);
  }
  SequencePosterior average(PosteriorOver::nothing, prior);
  average.observe(log_of({0.8, 0.2}));
  check_close(average.posterior(), prior, exact);
}

BOOST_AUTO_TEST_CASE(a_long_text_does_not_underflow) {
  SequencePosterior s(PosteriorOver::prefix, uniform_prior(2));
  double loss = 0;
  for (int t = 0; t < 100000; ++t) loss = s.observe(std::vector<double>{9.0, 9.001});
  BOOST_TEST(loss == 9.0, boost::test_tools::tolerance(1e-9));
  check_close(s.posterior(), {1.0, 0.0}, 1e-12);
}

/// One sequence of 256 tokens, of which the experts say -log p = a and b.
ExpertLosses constant_losses(double a, double b) {
  ExpertLosses losses{2, 256, {256}, std::vector<double>(256, a)};
  losses.values.insert(losses.values.end(), 256, b);
  return losses;
}

BOOST_AUTO_TEST_CASE(an_expert_that_a_batch_makes_improbable_beyond_a_double_comes_back) {
  // The first batch is the first expert's: 3 nats per token make odds of e^-765 after 255 tokens. The second
  // batch is the other's, by as much: at its last token the odds are 1. The sum of all losses of a sequence
  // telescopes to -log sum_j prior_j exp(-sum of expert j's losses).
  Mixture mixture(Ensemble::updating_prior, PosteriorOver::prefix, uniform_prior(2));
  mixture.add(constant_losses(0.1, 3.1));
  const double first = 25.6 + std::log(2);
  BOOST_TEST(mixture.loss() * 256 == first, boost::test_tools::tolerance(1e-12));
  BOOST_TEST(std::exp(-765.0) == 0.0);
  BOOST_TEST(mixture.prior()[1] > 0);
  mixture.add(constant_losses(3.1, 0.1));
  const double second = 790.6 - std::log1p(std::exp(-3.0));
  BOOST_TEST(mixture.loss() * 512 == first + second, boost::test_tools::tolerance(1e-12));
  check_close(mixture.average_posterior(), {0.3 * 0.5 + 0.7, 0.3 * 0.5}, 1e-10);
  mixture.add(constant_losses(3.1, 0.1));
  BOOST_TEST(mixture.loss() * 768 == first + second + 25.6 - std::log(0.15),
             boost::test_tools::tolerance(1e-12));
  check_close(mixture.average_posterior(), {0.7 * 0.85, 0.3 + 0.7 * 0.15}, 1e-10);
}

BOOST_AUTO_TEST_CASE(an_estimate_that_is_written_and_read_back_leaves_no_expert_out) {
  Mixture estimate(Ensemble::updating_prior, PosteriorOver::prefix, std::vector<double>{0.5, 0.5});
  estimate.add(constant_losses(0.1, 9.1));
  const TemporaryFolder folder;
  const auto path = folder.path / "estimate.jsonl";
  std::ofstream(path) << nlohmann::json{{"experts", {"a", "b"}},
                                        {"posterior", estimate.batch_posteriors().back()},
                                        {"exp_avg_posterior", estimate.average_posterior()}}
                             .dump()
                      << "\n";
  const auto read = read_prior("--prior", path.string(), PosteriorOver::prefix, {"a", "b"});
  check_close(read, {1, 0}, 1e-300);
  BOOST_TEST(std::isnormal(read[1]));
  Mixture cached(Ensemble::cached_prior, PosteriorOver::prefix, read);
  cached.add(constant_losses(9.1, 0.1));
  // -log of 2.2e-308 and the second expert's own loss.
  BOOST_TEST(cached.loss() * 256 == 25.6 + 708.39641853226408, boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(only_a_prior_of_0_is_0) {
  constexpr double least = std::numeric_limits<double>::min(),
                   never = -std::numeric_limits<double>::infinity();
  check_close(probabilities(std::vector<double>{0, std::log(0.25), -5000, never}), {1, 0.25, least, 0},
              1e-16);
  BOOST_TEST(probability(-5000) == least);
  for (const auto& prior : {normalized_prior({1, 1e-320, 0}, 3), normalized_prior({1e300, 1e-300, 0}, 3)}) {
    BOOST_TEST(prior[0] == 1.0);
    BOOST_TEST(prior[1] > 0.0);
    BOOST_TEST(prior[2] == 0.0);
  }
}

BOOST_AUTO_TEST_CASE(the_most_probable_experts_are_told_apart_beyond_a_double) {
  ExpertLosses losses{3, 1, {1}, {900, 0.1, 850}};
  const Mixture mixture(Ensemble::uniform_prior, PosteriorOver::prefix, uniform_prior(3));
  BOOST_TEST(most_probable(mixture.log_posterior_after(losses, 0, 1), 2) == (std::vector<std::size_t>{1, 2}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_uniform_mixture_is_never_worse_than_the_worst_expert) {
  FixedSplit f;
  const auto dataset = f.dataset();
  double worst = 0;
  for (int j = 0; j < 3; ++j) worst = std::max(worst, evaluate(f.model, dataset, DomainId{j}, 2).loss());
  for (const auto over : {PosteriorOver::prefix, PosteriorOver::previous_token}) {
    std::vector<Mixture> mixtures{Mixture(Ensemble::uniform_prior, over, uniform_prior(3))};
    score_mixtures(f.model, dataset, f.settings(2), mixtures, [](const ExpertLosses&) {});
    BOOST_TEST(mixtures[0].loss() < worst);
  }
}

BOOST_AUTO_TEST_CASE(priors_that_are_none_are_refused) {
  check_close(normalized_prior({1, 3}, 2), {0.25, 0.75}, exact);
  BOOST_CHECK_THROW(normalized_prior({1, 3}, 3), Error);
  BOOST_CHECK_THROW(normalized_prior({1, -1}, 2), Error);
  BOOST_CHECK_THROW(normalized_prior({0, 0}, 2), Error);
  BOOST_CHECK_THROW(normalized_prior({1, NAN}, 2), Error);
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_not_finite_is_an_error) {
  ExpertLosses losses{1, 1, {1}, {NAN}};
  Mixture mixture(Ensemble::uniform_prior, PosteriorOver::prefix, {1});
  BOOST_CHECK_THROW(mixture.add(losses), Error);
}

BOOST_AUTO_TEST_SUITE_END()
