#include "demix/model/conditioning.hpp"

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

BOOST_AUTO_TEST_SUITE(conditioning)

BOOST_AUTO_TEST_CASE(none_leaves_a_batch_as_it_is) {
  const Batch batch = tiny_batch();
  const Batch same = NoConditioning::apply(batch, 11);
  BOOST_TEST(same.source == batch.source, boost::test_tools::per_element());
  BOOST_TEST(same.sequence_length == batch.sequence_length);
  BOOST_TEST(NoConditioning::extra_tokens(3) == 0u);
}

BOOST_AUTO_TEST_CASE(the_token_of_the_domain_stands_in_front_and_predicts_nothing) {
  Batch batch;
  batch.sequence_length = 2;
  batch.source = {2, 4, 2, 5, 2, 6};
  batch.target = {4, 2, 5, 2, 6, pad_token};
  batch.segments = {{DomainId{1}, 0, 1}, {DomainId{2}, 1, 3, 4}};
  const Batch with = DomainToken::apply(batch, 20);
  BOOST_TEST(with.sequence_length == 3u);
  BOOST_TEST(with.source == (std::vector<Token>{21, 2, 4, 22, 2, 5, 22, 2, 6}),
             boost::test_tools::per_element());
  BOOST_TEST(with.target == (std::vector<Token>{pad_token, 4, 2, pad_token, 5, 2, pad_token, 6, pad_token}),
             boost::test_tools::per_element());
  BOOST_REQUIRE(with.segments.size() == 2u);
  BOOST_TEST(with.segments[1].last == 3u);
  BOOST_TEST(with.segments[1].first_of_all == 4u);
  BOOST_TEST(DomainToken::extra_tokens(3) == 3u);
  with.validate(23, 3);
  BOOST_CHECK_THROW(with.validate(22, 3), Error);
}

BOOST_AUTO_TEST_SUITE_END()
