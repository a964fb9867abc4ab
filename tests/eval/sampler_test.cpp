#include "demix/eval/sampler.hpp"

#include <boost/test/unit_test.hpp>
#include <map>

#include "testing.hpp"

using namespace demix;
using namespace demix::eval;
using namespace demix::testing;

namespace {

/// ln of these, of which tokens 2 and 5 are equally probable.
const std::vector<double> p{0.05, 0.3, 0.2, 0.1, 0.15, 0.2};

std::vector<double> log_of(const std::vector<double>& probabilities) {
  std::vector<double> result;
  for (const double each : probabilities) result.push_back(std::log(each));
  return result;
}

Sampler sampler(double temperature, std::size_t top_k = 0, double top_p = 1, std::uint64_t seed = 1,
                std::vector<bool> allowed = std::vector<bool>(6, true)) {
  return Sampler({temperature, top_k, top_p, Seed{seed}}, std::move(allowed));
}

/// Draws n times and compares the counts with the distribution by chi-square; tokens of probability 0 must
/// not occur. The limit is exceeded once in a million runs of a right sampler, and the seed is fixed.
void check_frequencies(const Sampler& sampler, const std::vector<double>& log_p,
                       const std::vector<double>& expected) {
  constexpr std::uint32_t n = 40'000;
  std::vector<double> counts(expected.size(), 0);
  for (std::uint32_t i = 0; i < n; ++i)
    ++counts.at(static_cast<std::size_t>(sampler.draw(log_p, {i % 7, i % 3, i})));
  double chi_square = 0;
  for (std::size_t v = 0; v < expected.size(); ++v)
    if (expected[v] == 0)
      BOOST_TEST(counts[v] == 0, "token " << v << " was drawn");
    else
      chi_square += (counts[v] - n * expected[v]) * (counts[v] - n * expected[v]) / (n * expected[v]);
  BOOST_TEST(chi_square < 36);  // 5 degrees of freedom: p = 1e-6
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sampling)

BOOST_AUTO_TEST_CASE(the_distribution_itself) { check_frequencies(sampler(1), log_of(p), p); }

BOOST_AUTO_TEST_CASE(a_distribution_need_not_be_normalised) {
  auto shifted = log_of(p);
  for (double& each : shifted) each -= 700;
  check_frequencies(sampler(1), shifted, p);
}

BOOST_AUTO_TEST_CASE(temperature_raises_to_a_power) {
  for (const double temperature : {0.5, 2.0}) {
    std::vector<double> expected;
    double sum = 0;
    for (const double each : p) sum += std::pow(each, 1 / temperature);
    for (const double each : p) expected.push_back(std::pow(each, 1 / temperature) / sum);
    check_frequencies(sampler(temperature), log_of(p), expected);
  }
}

BOOST_AUTO_TEST_CASE(temperature_zero_is_the_most_probable_token_and_of_equals_the_first) {
  for (std::uint32_t i = 0; i < 100; ++i) {
    BOOST_TEST(sampler(0).draw(log_of(p), {i, 0, i}) == 1);
    BOOST_TEST(sampler(0).draw(log_of({0.1, 0.2, 0.3, 0.1, 0.3, 0}), {i, 0, i}) == 2);
    BOOST_TEST(sampler(1e-300).draw(log_of(p), {i, 0, i}) == 1);
  }
}

BOOST_AUTO_TEST_CASE(top_k_keeps_k_even_of_equals) {
  check_frequencies(sampler(1, 1), log_of(p), {0, 1, 0, 0, 0, 0});
  check_frequencies(sampler(1, 2), log_of(p), {0, 0.6, 0.4, 0, 0, 0});  // 2 before its equal 5
  check_frequencies(sampler(1, 3), log_of(p), {0, 3 / 7.0, 2 / 7.0, 0, 0, 2 / 7.0});
  check_frequencies(sampler(1, 6), log_of(p), p);
  check_frequencies(sampler(1, 1000), log_of(p), p);
}

BOOST_AUTO_TEST_CASE(top_p_keeps_the_fewest_that_reach_it) {
  check_frequencies(sampler(1, 0, 1e-9), log_of(p), {0, 1, 0, 0, 0, 0});
  check_frequencies(sampler(1, 0, 0.29), log_of(p), {0, 1, 0, 0, 0, 0});
  check_frequencies(sampler(1, 0, 0.31), log_of(p), {0, 0.6, 0.4, 0, 0, 0});
  check_frequencies(sampler(1, 0, 0.69), log_of(p), {0, 3 / 7.0, 2 / 7.0, 0, 0, 2 / 7.0});
  check_frequencies(sampler(1, 0, 0.9499), log_of(p), {0, 6 / 19.0, 4 / 19.0, 2 / 19.0, 3 / 19.0, 4 / 19.0});
  check_frequencies(sampler(1, 0, 0.951), log_of(p), p);
  check_frequencies(sampler(1, 0, 1), log_of(p), p);
  const std::vector<double> halves{0, 0.5, 0, 0.25, 0.25, 0};  // exact in binary
  check_frequencies(sampler(1, 0, 0.5), log_of(halves), {0, 1, 0, 0, 0, 0});
}

BOOST_AUTO_TEST_CASE(temperature_comes_first_then_top_k_then_top_p) {
  // Squares: 0.09 0.04 0.04 of the three that top-k keeps; 0.09 is 53 % of them, 45 % of all.
  check_frequencies(sampler(0.5, 3, 0.5), log_of(p), {0, 1, 0, 0, 0, 0});
  check_frequencies(sampler(0.5, 3, 0.54), log_of(p), {0, 9 / 13.0, 4 / 13.0, 0, 0, 0});
  check_frequencies(sampler(0.5, 0, 0.5), log_of(p), {0, 9 / 13.0, 4 / 13.0, 0, 0, 0});
}

BOOST_AUTO_TEST_CASE(what_is_not_allowed_is_not_drawn) {
  const std::vector<bool> allowed{true, false, true, false, false, true};
  check_frequencies(sampler(1, 0, 1, 1, allowed), log_of(p), {1 / 9.0, 0, 4 / 9.0, 0, 0, 4 / 9.0});
  check_frequencies(sampler(1, 2, 1, 1, allowed), log_of(p), {0, 0, 0.5, 0, 0, 0.5});
  check_frequencies(sampler(1, 0, 0.5, 1, allowed), log_of(p), {0, 0, 0.5, 0, 0, 0.5});
  BOOST_TEST(sampler(0, 0, 1, 1, allowed).draw(log_of(p), {}) == 2);
  BOOST_TEST(sampler(1, 0, 1, 1, allowed).draw(log_of({0, 0.5, 0, 0.5, 0, 1e-300}), {}) == 5);
  // The vocabulary of a domain-token model goes on behind the dictionary.
  BOOST_TEST(sampler(0).draw(log_of({0.1, 0.2, 0.1, 0.1, 0.1, 0.1, 0.3}), {}) == 1);
  BOOST_CHECK_THROW(sampler(1, 0, 1, 1, allowed).draw(log_of({0, 0.5, 0, 0.5, 0, 0}), {}), Error);
  BOOST_CHECK_THROW(sampler(1, 0, 1, 1, std::vector<bool>(6, false)), Error);
  BOOST_CHECK_THROW(sampler(1).draw(std::vector<double>(6, std::nan("")), {}), Error);
}

BOOST_AUTO_TEST_CASE(a_draw_depends_on_seed_text_sample_and_position_and_nothing_else) {
  const std::vector<double> flat(1000, 0.0);
  const std::vector<bool> all(1000, true);
  const auto draw = [&](std::uint64_t seed, Draw which) {
    return sampler(1, 0, 1, seed, all).draw(flat, which);
  };
  BOOST_TEST(draw(1, {2, 3, 4}) == draw(1, {2, 3, 4}));
  std::map<Token, int> different;
  for (const Token each :
       {draw(1, {2, 3, 4}), draw(2, {2, 3, 4}), draw(1u | std::uint64_t{1} << 40, {2, 3, 4}),
        draw(1, {3, 2, 4}), draw(1, {2, 4, 3}), draw(1, {4, 3, 2}), draw(1, {2, 3, 5})})
    ++different[each];
  BOOST_TEST(different.size() == 7u);
}

// What the cache changes in a model's logits must not change the text: of a sum of p up to a random number,
// this would move one draw in ten to the token beside it.
BOOST_AUTO_TEST_CASE(rounding_errors_change_few_draws) {
  constexpr std::size_t vocabulary = 4096;
  auto log_p = random_values(vocabulary, 8), rounded = log_p;
  for (std::size_t v = 0; v < vocabulary; ++v) rounded[v] += v < vocabulary / 2 ? 1e-4 : -1e-4;
  const Sampler all({1, 0, 1, Seed{1}}, std::vector<bool>(vocabulary, true));
  int changed = 0;
  for (std::uint32_t i = 0; i < 500; ++i)
    changed += all.draw(log_p, {0, 0, i}) != all.draw(rounded, {0, 0, i});
  BOOST_TEST(changed <= 2);
}

BOOST_AUTO_TEST_CASE(settings_that_make_no_sense) {
  for (const double bad : {-0.1, std::nan(""), HUGE_VAL}) BOOST_CHECK_THROW(sampler(bad), UsageError);
  for (const double bad : {0.0, -1.0, 1.0001, std::nan("")})
    BOOST_CHECK_THROW(sampler(1, 0, bad), UsageError);
}

BOOST_AUTO_TEST_SUITE_END()
