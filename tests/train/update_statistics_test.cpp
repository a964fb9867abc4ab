#include "demix/train/update_statistics.hpp"

#include <limits>
#include <numeric>

#include "device/counting.hpp"
#include "testing.hpp"

using namespace demix;
using testing::CountingDevice;
using train::UpdateReport;

BOOST_AUTO_TEST_SUITE(update_statistics)

BOOST_AUTO_TEST_CASE(means_by_hand) {
  const UpdateReport report{{6, 0, 3}, 0.5, {2, 0, 1}, {1, 3, 5}, 0, 1};
  BOOST_TEST(report.all_tokens() == 3.0);
  BOOST_TEST(report.mean_loss() == 3.0);      // of the tokens alone, without what layers add
  BOOST_TEST(report.gradient_norm() == 1.0);  // sqrt(9) / 3
  const auto by_domain = report.losses_by_domain({"a", "b", "c"});
  BOOST_TEST(by_domain.dump() == R"({"a":3.0,"c":3.0})");
}

BOOST_AUTO_TEST_CASE(a_perplexity_that_overflows_is_none) {
  BOOST_TEST(train::has_perplexity(0));
  BOOST_TEST(train::has_perplexity(709));
  BOOST_TEST(!train::has_perplexity(710));
  BOOST_TEST(!train::has_perplexity(std::numeric_limits<double>::quiet_NaN()));
}

BOOST_AUTO_TEST_CASE(every_number_of_the_block_has_its_place) {
  CountingDevice device;
  LossTotals<CountingDevice> totals(device, 2);
  Batch batch;
  batch.sequence_length = 3;
  batch.source = batch.target = {4, 5, 6, 7, 8, pad_token};
  batch.segments = {{DomainId{0}, 0, 1}, {DomainId{1}, 1, 2}};
  totals.count(batch);
  totals.losses()[0] = 1.5;
  totals.losses()[1] = 2.5;
  *totals.added() = 0.25;

  train::UpdateStatistics<CountingDevice> block(device, 2, 3);
  for (const bool stop : {true, false}) {
    block.assign(totals, stop);
    BOOST_TEST(block.square_count() == 4u);
    BOOST_TEST(block.token_counts() == 2u);
    for (std::size_t r = 0; r < 4; ++r) {
      if (!stop) BOOST_TEST(block.squares()[r] == 0.0);
      block.squares()[r] = static_cast<double>(r + 1);
    }
    *block.gradient_scale() = 0.125;
    const auto waits = device.waits;
    const auto [losses, added_loss, tokens, squares, stopped, gradient_scale] = block.read();
    BOOST_TEST(device.waits == waits + 1);
    BOOST_TEST(losses == (std::vector<double>{1.5, 2.5}), boost::test_tools::per_element());
    BOOST_TEST(added_loss == 0.25);
    BOOST_TEST(tokens == (std::vector<double>{3, 2}), boost::test_tools::per_element());
    BOOST_TEST(squares == (std::vector<double>{1, 2, 3, 4}), boost::test_tools::per_element());
    BOOST_TEST(stopped == (stop ? 1.0 : 0.0));
    BOOST_TEST(gradient_scale == 0.125);
  }
}

BOOST_AUTO_TEST_CASE(ranks_sum_all_but_the_scale) {
  CountingDevice device;
  const LossTotals<CountingDevice> totals(device, 2);
  train::UpdateStatistics<CountingDevice> block(device, 2, 3);
  block.assign(totals, false);
  *block.gradient_scale() = 7;
  block.norms().back() = 1;
  // Two ranks with the same numbers.
  double number = 1;
  for (double& each : block.sums()) each = number++;
  for (const auto span : {block.sums(), block.norms()})
    for (double& each : span) each += each;
  const auto [losses, added_loss, tokens, squares, stopped, gradient_scale] = block.read();
  BOOST_TEST(losses == (std::vector<double>{2, 4}), boost::test_tools::per_element());
  BOOST_TEST(added_loss == 6.0);
  BOOST_TEST(tokens == (std::vector<double>{8, 10}), boost::test_tools::per_element());
  BOOST_TEST(squares == (std::vector<double>{0, 0, 0, 0}), boost::test_tools::per_element());
  BOOST_TEST(stopped == 2.0);
  BOOST_TEST(gradient_scale == 7.0);
}

BOOST_AUTO_TEST_SUITE_END()
