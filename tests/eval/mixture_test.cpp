// Experts that are fixed distributions: everything a mixture says is compared with the formulas of Bayes'
// rule computed directly, with products of probabilities in double precision.

#include "demix/eval/mixture.hpp"

#include <boost/test/unit_test.hpp>

#include "data/support.hpp"
#include "demix/eval/expert_losses.hpp"
#include "demix/eval/prior.hpp"
#include "eval/fake_scorer.hpp"

using namespace demix;
using namespace demix::eval;

namespace {

constexpr double exact = 1e-12;

/// Expert j says that token 4 + i has the probability table[j][i], whatever came before.
const std::vector<std::vector<double>> table{{0.7, 0.2, 0.1}, {0.1, 0.6, 0.3}, {0.25, 0.25, 0.5}};

struct FixedModel : test::FakeScorer {
  FixedModel() : FakeScorer({"a", "b", "c"}) {}
  std::size_t rows = 0, most_rows = 0;  // scored in all, and at most at a time

  using FakeScorer::token_losses;
  std::vector<double> token_losses(const Batch& batch) override {
    std::vector<double> losses;
    rows += batch.rows();
    most_rows = std::max(most_rows, batch.rows());
    for (const auto& segment : batch.segments)
      for (std::size_t r = segment.first * batch.sequence_length; r < segment.last * batch.sequence_length;
           ++r)
        losses.push_back(
            batch.target[r] == pad_token
                ? 0.0
                : -std::log(table[index(segment.domain)][static_cast<std::size_t>(batch.target[r] - 4)]));
    return losses;
  }
};

/// The stream 4 6 5 5 6 4 4 | ..., 16 tokens: blocks of 6, 6 and 4.
const std::vector<Token> text{4, 6, 5, 5, 6, 4, 4, 4, 5, 6, 6, 6, 5, 4, 5, 6};
constexpr std::size_t block_length = 6;

struct Fixture {
  test::TemporaryFolder folder;
  FixedModel model;

  data::BlockDataset dataset() {
    const auto prefix = folder.path / "split";
    if (!std::filesystem::exists(prefix.string() + ".idx")) {
      data::TokenFileWriter writer(prefix, 7);
      writer.add(text);
      writer.finish();
    }
    return data::BlockDataset(data::TokenFile(prefix, 7), block_length);
  }

  MixSettings settings(std::size_t sequences) {
    MixSettings result;
    result.experts = {DomainId{0}, DomainId{1}, DomainId{2}};
    result.sequences = sequences;
    return result;
  }
};

/// What a mixture should say.
struct Direct {
  double loss_sum = 0;
  std::vector<std::vector<double>> batch_posteriors, averages;
  std::vector<double> prior_at_end;
};

double p(std::size_t expert, Token token) { return table[expert][static_cast<std::size_t>(token - 4)]; }

/// The formulas, by the book: p(D = j | x_<t) = p(x_<t | j) prior_j / sum over experts of the same.
Direct directly(Ensemble ensemble, PosteriorOver over, std::vector<double> prior, std::size_t sequences) {
  Direct result;
  std::vector<double> average;
  for (std::size_t first = 0; first < text.size(); first += sequences * block_length) {
    std::vector<double> mean(3, 0.0);
    std::size_t count = 0;
    for (std::size_t b = first; b < std::min(first + sequences * block_length, text.size());
         b += block_length) {
      ++count;
      const std::size_t end = std::min(b + block_length, text.size());
      std::vector<double> posterior(3);
      for (std::size_t t = b; t < end; ++t) {
        double total = 0, mixed = 0;
        for (std::size_t j = 0; j < 3; ++j) {
          double likelihood = 1;
          if (over == PosteriorOver::prefix)
            for (std::size_t s = b; s < t; ++s) likelihood *= p(j, text[s]);
          else if (t > b)
            likelihood = p(j, text[t - 1]);
          posterior[j] = ensemble == Ensemble::simple_average ? 1 : likelihood * prior[j];
          total += posterior[j];
        }
        for (std::size_t j = 0; j < 3; ++j) mixed += (posterior[j] /= total) * p(j, text[t]);
        result.loss_sum -= std::log(mixed);
      }
      for (std::size_t j = 0; j < 3; ++j) mean[j] += posterior[j];
    }
    for (double& m : mean) m /= static_cast<double>(count);
    if (average.empty())
      average = mean;
    else
      for (std::size_t j = 0; j < 3; ++j) average[j] = 0.7 * average[j] + 0.3 * mean[j];
    result.batch_posteriors.push_back(mean);
    result.averages.push_back(average);
    if (ensemble == Ensemble::updating_prior) prior = average;
  }
  result.prior_at_end = prior;
  return result;
}

void check_close(const std::vector<double>& found, const std::vector<double>& expected, double tolerance) {
  BOOST_TEST_REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) BOOST_TEST(std::fabs(found[i] - expected[i]) <= tolerance);
}

std::vector<double> log_of(std::vector<double> probabilities) {
  for (double& each : probabilities) each = -std::log(each);
  return probabilities;
}

constexpr Ensemble all_ensembles[] = {Ensemble::simple_average, Ensemble::uniform_prior,
                                      Ensemble::updating_prior, Ensemble::cached_prior};

}  // namespace

BOOST_AUTO_TEST_SUITE(mixture)

BOOST_AUTO_TEST_CASE(every_ensemble_with_either_posterior_equals_the_formulas) {
  Fixture f;
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
          BOOST_TEST(mixtures[0].tokens() == text.size());
          BOOST_TEST(std::fabs(mixtures[0].loss() * 16 - expected.loss_sum) <= 1e-6);
          check_close(mixtures[0].prior(), expected.prior_at_end, 1e-6);
        }
}

BOOST_AUTO_TEST_CASE(several_mixtures_from_one_scoring_are_each_what_they_are_alone) {
  Fixture f;
  const auto dataset = f.dataset();
  std::vector<Mixture> together;
  for (const Ensemble ensemble : all_ensembles)
    together.emplace_back(ensemble, PosteriorOver::prefix, uniform_prior(3));
  score_mixtures(f.model, dataset, f.settings(2), together, [](const ExpertLosses&) {});
  BOOST_TEST(f.model.rows == 3 * 3 * block_length);
  for (const auto& each : together) {
    std::vector<Mixture> alone{Mixture(each.ensemble(), PosteriorOver::prefix, uniform_prior(3))};
    score_mixtures(f.model, dataset, f.settings(2), alone, [](const ExpertLosses&) {});
    BOOST_TEST(each.loss() == alone[0].loss());
    BOOST_TEST(each.average_posterior() == alone[0].average_posterior(), boost::test_tools::per_element());
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
  const test::TemporaryFolder folder;
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

BOOST_AUTO_TEST_CASE(an_expert_whose_loss_is_not_finite_is_named_with_the_text) {
  struct Broken : FixedModel {
    using FixedModel::token_losses;
    std::vector<double> token_losses(const Batch& batch) override {
      auto losses = FixedModel::token_losses(batch);
      for (const auto& segment : batch.segments)
        if (index(segment.domain) == 1)
          losses[segment.first * batch.sequence_length] = std::numeric_limits<double>::quiet_NaN();
      return losses;
    }
  } model;
  Fixture f;
  const auto dataset = f.dataset();
  for (const std::size_t top_k : {0u, 1u}) {
    auto settings = f.settings(1);
    settings.top_k = top_k;
    settings.first_segment = 2;
    std::vector<Mixture> mixtures{Mixture(Ensemble::uniform_prior, PosteriorOver::prefix, uniform_prior(3))};
    BOOST_CHECK_EXCEPTION(score_mixtures(model, dataset, settings, mixtures, [](const ExpertLosses&) {}),
                          Error, [](const Error& error) {
                            const std::string text = error.what();
                            return text.find("expert 'b'") != std::string::npos &&
                                   text.find("split") != std::string::npos &&
                                   text.find("batch 1") != std::string::npos;
                          });
  }
}

BOOST_AUTO_TEST_CASE(a_prior_of_one_is_that_expert_alone_to_the_last_bit_and_asks_no_other) {
  Fixture f;
  const auto dataset = f.dataset();
  for (const auto over : {PosteriorOver::prefix, PosteriorOver::previous_token}) {
    std::vector<Mixture> mixtures{Mixture(Ensemble::cached_prior, over, {0, 1, 0})};
    f.model.rows = 0;
    score_mixtures(f.model, dataset, f.settings(2), mixtures, [](const ExpertLosses&) {});
    BOOST_TEST(f.model.rows == 3 * block_length);
    BOOST_TEST(mixtures[0].loss() == evaluate(f.model, dataset, DomainId{1}, 2).loss(),
               boost::test_tools::tolerance(1e-15));
    check_close(mixtures[0].average_posterior(), {0, 1, 0}, 0);
  }
}

BOOST_AUTO_TEST_CASE(the_uniform_mixture_is_never_worse_than_the_worst_expert) {
  Fixture f;
  const auto dataset = f.dataset();
  double worst = 0;
  for (int j = 0; j < 3; ++j) worst = std::max(worst, evaluate(f.model, dataset, DomainId{j}, 2).loss());
  for (const auto over : {PosteriorOver::prefix, PosteriorOver::previous_token}) {
    std::vector<Mixture> mixtures{Mixture(Ensemble::uniform_prior, over, uniform_prior(3))};
    score_mixtures(f.model, dataset, f.settings(2), mixtures, [](const ExpertLosses&) {});
    BOOST_TEST(mixtures[0].loss() < worst);
  }
}

BOOST_AUTO_TEST_CASE(the_most_probable_experts_alone_go_on_behind_the_first_segment) {
  Fixture f;
  const auto dataset = f.dataset();
  const std::size_t head = 2, k = 2;
  auto settings = f.settings(2);
  settings.top_k = k;
  settings.first_segment = head;
  std::vector<Mixture> mixtures{Mixture(Ensemble::uniform_prior, PosteriorOver::prefix, uniform_prior(3))};
  score_mixtures(f.model, dataset, settings, mixtures, [](const ExpertLosses&) {});
  double expected = 0;
  for (std::size_t b = 0; b < text.size(); b += block_length) {
    std::vector<double> joint(3, 1.0 / 3);
    for (std::size_t t = b; t < std::min(b + block_length, text.size()); ++t) {
      if (t == b + head)
        joint[static_cast<std::size_t>(std::min_element(joint.begin(), joint.end()) - joint.begin())] = 0;
      double total = 0, mixed = 0;
      for (const double w : joint) total += w;
      for (std::size_t j = 0; j < 3; ++j) mixed += (joint[j] *= p(j, text[t]));
      expected -= std::log(mixed / total);
    }
  }
  BOOST_TEST(std::fabs(mixtures[0].loss() * 16 - expected) <= 1e-6);
  // All three read 2 tokens of 3 sequences, two of them the other 4 of each block.
  BOOST_TEST(f.model.rows == 3 * 3 * head + k * 3 * (block_length - head));
}

BOOST_AUTO_TEST_CASE(all_kept_equals_all_asked) {
  Fixture f;
  const auto dataset = f.dataset();
  auto settings = f.settings(3);
  std::vector<Mixture> all{
      Mixture(Ensemble::updating_prior, PosteriorOver::previous_token, uniform_prior(3))},
      kept{all};
  score_mixtures(f.model, dataset, settings, all, [](const ExpertLosses&) {});
  settings.top_k = 3;
  settings.first_segment = 5;  // the last block has 4 tokens
  score_mixtures(f.model, dataset, settings, kept, [](const ExpertLosses&) {});
  BOOST_TEST(all[0].loss() == kept[0].loss());
  BOOST_TEST(most_probable(std::vector<double>{0.2, 0.4, 0.4}, 1) == std::vector<std::size_t>{1},
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(passes_are_bounded) {
  Fixture f;
  Batch batch;
  batch.sequence_length = rows_per_pass / 2;
  batch.source.assign(batch.sequence_length, 4);
  batch.target.assign(batch.sequence_length, 4);
  batch.segments = {{DomainId{0}, 0, 1}};
  const std::vector<DomainId> experts{DomainId{0}, DomainId{1}, DomainId{2}};
  const auto losses = expert_losses(f.model, batch, experts, {true, true, true});
  BOOST_TEST(f.model.most_rows == rows_per_pass);
  BOOST_TEST(losses.at(2, 0, 7) == -std::log(0.25), boost::test_tools::tolerance(1e-6));
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

BOOST_AUTO_TEST_CASE(the_estimate_is_the_last_average_with_the_updating_prior) {
  Fixture f;
  const auto expected = directly(Ensemble::updating_prior, default_posterior, uniform_prior(3), 1).averages;
  check_close(estimate_posterior(f.model, f.dataset(), 1, 0), expected.back(), 1e-6);
  check_close(estimate_posterior(f.model, f.dataset(), 1, 2), expected[1], 1e-6);
}

BOOST_AUTO_TEST_SUITE_END()
