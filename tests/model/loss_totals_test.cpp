#include "demix/model/loss_totals.hpp"

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(loss_totals)

BOOST_AUTO_TEST_CASE(tokens_are_counted_by_domain_without_padding) {
  device::Cpu cpu;
  LossTotals<device::Cpu> totals(cpu, 3);
  Batch batch;
  batch.sequence_length = 2;
  batch.source = {4, 5, 6, 7, 8, 9};
  batch.target = {5, 6, 7, pad_token, pad_token, pad_token};
  batch.segments = {{DomainId{0}, 0, 1}, {DomainId{2}, 1, 3}};
  totals.count(batch);
  BOOST_TEST(totals.tokens() == (std::vector<double>{2, 0, 1}), boost::test_tools::per_element());
  totals.count(batch);
  BOOST_TEST(totals.tokens() == (std::vector<double>{4, 0, 2}), boost::test_tools::per_element());
  totals.clear();
  BOOST_TEST(totals.tokens() == (std::vector<double>{0, 0, 0}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(sums_start_at_zero_and_what_layers_add_stands_apart) {
  device::Cpu cpu;
  LossTotals<device::Cpu> totals(cpu, 2);
  BOOST_TEST(totals.domains() == 2u);
  for (int round = 0; round < 2; ++round) {
    for (std::size_t d = 0; d < 2; ++d) BOOST_TEST(totals.losses()[d] == 0.0);
    BOOST_TEST(*totals.added() == 0.0);
    BOOST_TEST((totals.added() == totals.losses() + 2));
    totals.losses()[0] = totals.losses()[1] = *totals.added() = 3;
    totals.clear();
  }
}

BOOST_AUTO_TEST_SUITE_END()
