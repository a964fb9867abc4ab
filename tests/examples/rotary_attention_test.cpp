#include "policies/rotary_attention.hpp"

#include <boost/mpl/list.hpp>
#include <complex>

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;
using policies::RotaryAttention;
using policies::RotaryPositions;
using Types = boost::mpl::list<float, double>;

static_assert(IncrementalAttentionPolicy<RotaryAttention, device::Cpu, Fp32>);

namespace {

using Model = LanguageModel<device::Cpu, Fp64, RotaryAttention, LayerNorm, DEMixFFN<ops::Gelu>, DomainToken>;

/// 2 sequences of 3 tokens, 2 heads of 4 columns.
constexpr ops::AttentionShape shape{2, 3, 2, 4};

template <class T>
Owned<T> rotated(const Owned<T>& qkv, const std::vector<std::int32_t>& lengths = {}) {
  device::Cpu cpu;
  Owned<T> result = qkv;
  RotaryPositions::rotate(cpu, shape, result.view(), lengths.empty() ? nullptr : lengths.data());
  return result;
}

/// The inner product of head h of row i's query and row j's key.
double score(const Owned<double>& qkv, std::size_t i, std::size_t j, std::size_t h) {
  double sum = 0;
  for (std::size_t c = 0; c < 4; ++c) sum += qkv(i, 4 * h + c) * qkv(j, 8 + 4 * h + c);
  return sum;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(rotary_attention)

BOOST_AUTO_TEST_CASE_TEMPLATE(equals_products_of_complex_numbers, T, Types) {
  const auto qkv = random_matrix<T>(6, 24, 1);
  for (const std::vector<std::int32_t>& lengths : {std::vector<std::int32_t>{}, {0, 0}, {500, 7}}) {
    const auto result = rotated(qkv, lengths);
    Owned<double> expected(6, 24);
    for (std::size_t r = 0; r < 6; ++r)
      for (std::size_t c = 0; c < 24; c += 2) {
        const std::complex<double> z(static_cast<double>(qkv(r, c)), static_cast<double>(qkv(r, c + 1)));
        const double position = static_cast<double>(r % 3) + (lengths.empty() ? 0 : lengths[r / 3]);
        const double angle = c < 16 ? position * std::pow(10000.0, -static_cast<double>(c % 4) / 4) : 0;
        expected(r, c) = (z * std::polar(1.0, angle)).real();
        expected(r, c + 1) = (z * std::polar(1.0, angle)).imag();
      }
    // The angle of a float at position 500 has an error of 3e-5.
    DEMIX_CHECK_CLOSE(result.values, expected.values, (std::is_same_v<T, float> ? 1e-4 : 1e-12));
    for (std::size_t r = 0; r < 6; ++r)
      for (std::size_t c = 16; c < 24; ++c) BOOST_TEST(result(r, c) == qkv(r, c));
  }
}

BOOST_AUTO_TEST_CASE(scores_depend_on_distances_alone) {
  const auto qkv = random_matrix<double>(6, 24, 1);
  const auto here = rotated(qkv), later = rotated(qkv, {11, 11});
  for (const std::size_t h : {0u, 1u}) {
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j <= i; ++j)
        BOOST_TEST(std::fabs(score(here, i, j, h) - score(later, i, j, h)) < 1e-13);
    BOOST_TEST(std::fabs(score(here, 1, 1, h) - score(qkv, 1, 1, h)) < 1e-13);
    BOOST_TEST(std::fabs(score(here, 2, 0, h) - score(qkv, 2, 0, h)) > 1e-3);
  }
}

BOOST_AUTO_TEST_CASE(the_way_back_undoes_it) {
  device::Cpu cpu;
  const auto qkv = random_matrix<double>(6, 24, 1);
  auto result = rotated(qkv);
  RotaryPositions::rotate_backward(cpu, shape, result.view());
  DEMIX_CHECK_CLOSE(result.values, qkv.values, 1e-14);
}

BOOST_AUTO_TEST_CASE(heads_without_pairs_are_refused) {
  device::Cpu cpu;
  Owned<float> qkv(6, 18);
  BOOST_CHECK_THROW(RotaryPositions::rotate(cpu, ops::AttentionShape{2, 3, 2, 3}, qkv.view(), nullptr),
                    Error);
}

BOOST_AUTO_TEST_CASE(gradients_equal_finite_differences) { check_gradients_of_all_configurations<Model>(); }

BOOST_AUTO_TEST_CASE(reading_in_parts_gives_the_losses_of_reading_at_once) {
  device::Cpu cpu(1);
  Model model(cpu, tiny_config(Positions::none), three_domains, Seed{3});
  perturb(model);
  Batch batch = tiny_batch();
  for (Token& token : batch.source)
    if (token == pad_token) token = 7;
  const auto expected = model.token_losses(batch);
  auto cache = model.make_cache(3);
  for (std::size_t t = 0; t < 5; ++t) {
    Batch part = batch;
    part.sequence_length = 1;
    part.source.clear();
    part.target.clear();
    for (std::size_t b = 0; b < 3; ++b) {
      part.source.push_back(batch.source[b * 5 + t]);
      part.target.push_back(batch.target[b * 5 + t]);
    }
    const auto losses = model.token_losses(part, cache);
    for (std::size_t b = 0; b < 3; ++b) BOOST_TEST(std::fabs(losses[b] - expected[b * 5 + t]) < 1e-12);
  }
}

BOOST_AUTO_TEST_CASE(a_model_with_it_trains) {
  device::Cpu cpu(1);
  Model model(cpu, tiny_config(Positions::none), three_domains, Seed{1});
  const double start = descend(model, tiny_batch(), 0.3);
  double loss = start;
  for (int step = 0; step < 60; ++step) loss = descend(model, tiny_batch(), 0.3);
  BOOST_TEST(loss < 0.5 * start);
}

BOOST_AUTO_TEST_SUITE_END()
