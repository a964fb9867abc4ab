#include "demix/train/soundness.hpp"

#include <boost/test/unit_test.hpp>
#include <limits>

using namespace demix;

namespace {

const std::vector<std::string> names{"law", "code"};
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();

train::UpdateReport report(std::vector<double> losses, std::vector<double> tokens,
                           std::vector<double> squares) {
  return {std::move(losses), 0, std::move(tokens), std::move(squares), 0, 1};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(soundness)

BOOST_AUTO_TEST_CASE(what_is_not_finite_is_named) {
  const auto what = [](const train::UpdateReport& r) {
    return train::not_finite(r, names).value_or("nothing");
  };
  BOOST_TEST(what(report({5, 6}, {2, 3}, {1, 0, 4})) == "nothing");
  BOOST_TEST(what(report({5, not_a_number}, {2, 3}, {1, 0, 4})) == "the loss on domain 'code'");
  BOOST_TEST(what(report({-infinity, 6}, {2, 3}, {not_a_number, 0, 4})) == "the loss on domain 'law'");
  BOOST_TEST(what(report({709, 710 * 3}, {1, 3}, {1, 0, 4})) ==
             "the perplexity of a mean loss of 710 nats on domain 'code'");
  BOOST_TEST(what(report({5, 6}, {2, 3}, {infinity, not_a_number, 4})) ==
             "the gradient of the shared parameters");
  BOOST_TEST(what(report({5, 6}, {2, 3}, {1, 0, not_a_number})) ==
             "the gradient of the expert of domain 'code'");
  // A domain that the update did not see, and a model without experts.
  BOOST_TEST(what(report({5, 0}, {2, 0}, {1})) == "nothing");
}

BOOST_AUTO_TEST_CASE(an_update_needs_a_token) {
  train::require_tokens(report({5, 0}, {2, 0}, {1}), 3, 8);
  BOOST_CHECK_EXCEPTION(
      train::require_tokens(report({0, 0}, {0, 0}, {0}), 3, 8), Error, [](const Error& error) {
        return std::string(error.what()).starts_with("update 3: its 8 micro-batches have no target token");
      });
}

BOOST_AUTO_TEST_SUITE_END()
