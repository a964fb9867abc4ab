#include "demix/eval/expert_losses.hpp"

#include "eval/fixed_model.hpp"

using namespace demix;
using namespace demix::eval;
using namespace demix::test;

BOOST_AUTO_TEST_SUITE(losses_of_experts)

BOOST_AUTO_TEST_CASE(every_expert_that_is_asked_says_its_loss_of_every_target) {
  FixedModel model(table_of_three);
  Batch batch{3, {4, 4, 5, 4, 5, pad_token}, {4, 5, 6, 5, pad_token, pad_token}, {{DomainId{0}, 0, 2}}};
  const std::vector<DomainId> experts{DomainId{2}, DomainId{0}, DomainId{1}};
  const auto losses = expert_losses(model, batch, experts, {true, false, true});
  BOOST_TEST(losses.lengths == (std::vector<std::size_t>{3, 1}), boost::test_tools::per_element());
  BOOST_TEST(model.rows == 2 * 6u);
  const auto expect = [&](std::size_t j, std::size_t b, std::vector<double> p) {
    for (std::size_t t = 0; t < p.size(); ++t) BOOST_TEST(losses.at(j, b, t) == -std::log(p[t]));
  };
  expect(0, 0, {0.25, 0.25, 0.5});
  expect(0, 1, {0.25, 1, 1});
  expect(1, 0, {0, 0, 0});  // infinite: not asked
  expect(1, 1, {0, 0, 0});
  expect(2, 0, {0.1, 0.6, 0.3});
  expect(2, 1, {0.6, 1, 1});
}

BOOST_AUTO_TEST_CASE(several_mixtures_from_one_scoring_are_each_what_they_are_alone) {
  FixedSplit f;
  const auto dataset = f.dataset();
  std::vector<Mixture> together;
  for (const Ensemble ensemble :
       {Ensemble::simple_average, Ensemble::uniform_prior, Ensemble::updating_prior, Ensemble::cached_prior})
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

BOOST_AUTO_TEST_CASE(an_expert_whose_loss_is_not_finite_is_named_with_the_text) {
  struct Broken : FixedModel {
    using FixedModel::FixedModel;
    using FixedModel::token_losses;
    std::vector<double> token_losses(const Batch& batch) override {
      auto losses = FixedModel::token_losses(batch);
      for (const auto& segment : batch.segments)
        if (index(segment.domain) == 1)
          losses[segment.first * batch.sequence_length] = std::numeric_limits<double>::quiet_NaN();
      return losses;
    }
  } model(table_of_three);
  FixedSplit f;
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
  FixedSplit f;
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

BOOST_AUTO_TEST_CASE(the_most_probable_experts_alone_go_on_behind_the_first_segment) {
  FixedSplit f;
  const auto dataset = f.dataset();
  const std::size_t head = 2, k = 2;
  auto settings = f.settings(2);
  settings.top_k = k;
  settings.first_segment = head;
  std::vector<Mixture> mixtures{Mixture(Ensemble::uniform_prior, PosteriorOver::prefix, uniform_prior(3))};
  score_mixtures(f.model, dataset, settings, mixtures, [](const ExpertLosses&) {});
  double expected = 0;
  for (std::size_t b = 0; b < split_text.size(); b += block_length) {
    std::vector<double> joint(3, 1.0 / 3);
    for (std::size_t t = b; t < std::min(b + block_length, split_text.size()); ++t) {
      if (t == b + head)
        joint[static_cast<std::size_t>(std::min_element(joint.begin(), joint.end()) - joint.begin())] = 0;
      double total = 0, mixed = 0;
      for (const double w : joint) total += w;
      for (std::size_t j = 0; j < 3; ++j) mixed += (joint[j] *= p(j, split_text[t]));
      expected -= std::log(mixed / total);
    }
  }
  BOOST_TEST(std::fabs(mixtures[0].loss() * 16 - expected) <= 1e-6);
  // All three read 2 tokens of 3 sequences, two of them the other 4 of each block.
  BOOST_TEST(f.model.rows == 3 * 3 * head + k * 3 * (block_length - head));
}

BOOST_AUTO_TEST_CASE(all_kept_equals_all_asked) {
  FixedSplit f;
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
  FixedSplit f;
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

BOOST_AUTO_TEST_CASE(the_estimate_is_the_last_average_with_the_updating_prior) {
  FixedSplit f;
  const auto expected = directly(Ensemble::updating_prior, default_posterior, uniform_prior(3), 1).averages;
  check_close(estimate_posterior(f.model, f.dataset(), 1, 0), expected.back(), 1e-6);
  check_close(estimate_posterior(f.model, f.dataset(), 1, 2), expected[1], 1e-6);
}

BOOST_AUTO_TEST_SUITE_END()
