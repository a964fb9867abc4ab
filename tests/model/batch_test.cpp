#include "demix/model/batch.hpp"

#include "demix/model/conditioning.hpp"
#include "testing.hpp"

using namespace demix;

namespace {

Batch good() { return {2, {4, 5, 6, 7}, {5, 6, pad_token, 8}, {{DomainId{0}, 0, 1}, {DomainId{2}, 1, 2}}}; }

/// Validates a batch that differs from a good one by `change`, for 9 tokens and 3 domains.
template <class Change>
void validate_with(Change change) {
  Batch batch = good();
  change(batch);
  batch.validate(9, 3);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(batch)

BOOST_AUTO_TEST_CASE(counts) {
  const Batch batch = good();
  batch.validate(9, 3);
  BOOST_TEST(batch.rows() == 4u);
  BOOST_TEST(batch.sequences() == 2u);
  BOOST_TEST(batch.target_tokens() == 3u);
  BOOST_TEST(Batch().sequences() == 0u);
}

BOOST_AUTO_TEST_CASE(what_is_not_a_batch_is_an_error) {
  BOOST_CHECK_THROW(Batch().validate(9, 3), Error);
  BOOST_CHECK_THROW(good().validate(8, 3), Error);
  BOOST_CHECK_THROW(good().validate(9, 2), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.sequence_length = 0; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.sequence_length = 3; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.source.pop_back(); }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.target.pop_back(); }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.source[1] = -1; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.source[1] = 9; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.target[3] = 9; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.target[3] = -2; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.segments.clear(); }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.segments[0].first = 1; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.segments[1].first = 0; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.segments[1].last = 3; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.segments[1].last = 1; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) {
                      b.segments[0] = {DomainId{0}, 0, 2}, b.segments[1] = {DomainId{1}, 2, 0};
                    }),
                    Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.segments[0].domain = DomainId{3}; }), Error);
  BOOST_CHECK_THROW(validate_with([](Batch& b) { b.segments[0].domain = DomainId{-1}; }), Error);
}

BOOST_AUTO_TEST_CASE(the_error_names_what_was_found) {
  BOOST_CHECK_EXCEPTION(validate_with([](Batch& b) { b.source[1] = 77; }), Error, [](const Error& error) {
    const std::string text = error.what();
    return text.find("77") != text.npos && text.find("9") != text.npos;
  });
}

BOOST_AUTO_TEST_CASE(lengths_leave_out_padding_at_the_end_alone) {
  Batch batch;
  batch.sequence_length = 3;
  batch.source = {4, pad_token, 5, 6, pad_token, pad_token, pad_token, pad_token, pad_token};
  batch.target = {7, pad_token, pad_token, 7, 8, 9, pad_token, 8, pad_token};
  const std::size_t of_source[] = {3, 1, 0}, of_target[] = {1, 3, 2};
  for (std::size_t b = 0; b < 3; ++b) {
    BOOST_TEST(batch.length_of(b) == of_source[b]);
    BOOST_TEST(batch.target_length_of(b) == of_target[b]);
  }
}

BOOST_AUTO_TEST_CASE(domain_tokens_stand_in_front) {
  const Batch with = DomainToken::apply(good(), 9);
  BOOST_TEST(with.sequence_length == 3u);
  BOOST_TEST((with.source == std::vector<Token>{9, 4, 5, 11, 6, 7}));
  BOOST_TEST((with.target == std::vector<Token>{pad_token, 5, 6, pad_token, pad_token, 8}));
  BOOST_TEST(with.target_tokens() == good().target_tokens());
  with.validate(12, 3);
  BOOST_TEST((NoConditioning::apply(good(), 9).source == good().source));
}

BOOST_AUTO_TEST_SUITE_END()
