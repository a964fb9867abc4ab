#include "demix/eval/perplexity.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "data/support.hpp"
#include "eval/fake_scorer.hpp"

using namespace demix;

namespace {

/// Says that every target costs log(its id), and remembers what it was asked.
struct ToyModel : test::FakeScorer {
  ToyModel() : FakeScorer({"a", "b"}) {}
  std::vector<std::size_t> batches;

  using FakeScorer::token_losses;
  std::vector<double> token_losses(const Batch& batch) override {
    batches.push_back(batch.sequences());
    BOOST_TEST(index(batch.segments.at(0).domain) == 1);
    std::vector<double> losses;
    for (const Token token : batch.target)
      losses.push_back(token == pad_token ? 0.0 : std::log(static_cast<double>(token)));
    return losses;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(perplexity)

BOOST_AUTO_TEST_CASE(is_the_exponential_of_the_mean_loss_over_all_targets) {
  const test::TemporaryFolder folder;
  const auto prefix = folder.path / "split";
  {
    data::TokenFileWriter writer(prefix, 100);
    for (int document = 0; document < 5; ++document) writer.add(std::vector<Token>{4, 16, eos_token});
    writer.finish();
  }
  const data::BlockDataset dataset(data::TokenFile(prefix, 100), 4);  // 15 tokens: blocks of 4, 4, 4 and 3
  ToyModel model;
  const auto score = eval::evaluate(model, dataset, DomainId(1), 3);
  BOOST_TEST(score.tokens == 15u);
  BOOST_TEST(score.perplexity() == std::cbrt(4.0 * 16 * 2), boost::test_tools::tolerance(1e-6));
  BOOST_TEST(model.batches == (std::vector<std::size_t>{3, 1}), boost::test_tools::per_element());

  const auto first = eval::evaluate(model, dataset, DomainId(1), 1, 1);
  BOOST_TEST(first.tokens == 4u);
  BOOST_TEST(first.perplexity() == std::pow(4.0 * 16 * 2 * 4, 0.25), boost::test_tools::tolerance(1e-6));
  BOOST_TEST(eval::average_perplexity({{std::log(2.0), 1, 1}, {std::log(16.0) * 2, 2, 1}}) == 9.0,
             boost::test_tools::tolerance(1e-12));
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_not_finite_is_an_error_with_the_domain) {
  struct Broken : ToyModel {
    using ToyModel::token_losses;
    std::vector<double> token_losses(const Batch& batch) override {
      return std::vector<double>(batch.rows(), std::numeric_limits<double>::quiet_NaN());
    }
  } model;
  const test::TemporaryFolder folder;
  {
    data::TokenFileWriter writer(folder.path / "split", 100);
    writer.add(std::vector<Token>{4, eos_token});
    writer.finish();
  }
  const data::BlockDataset dataset(data::TokenFile(folder.path / "split", 100), 4);
  BOOST_CHECK_EXCEPTION(eval::evaluate(model, dataset, DomainId(1), 1), Error, [](const Error& error) {
    const std::string text = error.what();
    return text.find("split.bin, batch 1: scored as domain 'b'") != std::string::npos;
  });
}

BOOST_AUTO_TEST_CASE(one_that_overflows_is_a_string_in_json) {
  BOOST_TEST(eval::perplexity_json(12.5).dump() == "12.5");
  const eval::Score hopeless{800.0 * 3, 3, 1};
  BOOST_TEST(hopeless.loss() == 800.0);
  BOOST_TEST(eval::perplexity_json(hopeless.perplexity()).dump() == "\"inf\"");
  BOOST_TEST(eval::perplexity_json(eval::average_perplexity({{1, 1, 1}, hopeless})).dump() == "\"inf\"");
}

BOOST_AUTO_TEST_SUITE_END()
