#pragma once
// Tiny models and batches.

#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demix/model/experiments.hpp"
#include "demix/model/gradient_check.hpp"
#include "testing.hpp"

namespace demix::testing {

inline const std::vector<std::string> three_domains{"news", "law", "code"};

/// Two layers, C = 8, H = 2, F = 12, V = 11, T = 6.
inline ModelConfig tiny_config(Positions positions = Positions::learned, bool tied = true) {
  ModelConfig config;
  config.layers = 2;
  config.d_model = 8;
  config.heads = 2;
  config.d_ffn = 12;
  config.vocabulary = 11;
  config.tokens_per_sample = 6;
  config.positions = positions;
  config.tied_embeddings = tied;
  config.dropout = 0;
  return config;
}

/// Random sequences of `length` tokens: `counts[i].second` sequences of domain `counts[i].first`. Every
/// seventh target is padding.
inline Batch random_batch(std::size_t length, const std::vector<std::pair<int, std::size_t>>& counts,
                          std::uint64_t seed, std::size_t vocabulary = 11) {
  Batch batch;
  batch.sequence_length = length;
  std::size_t sequences = 0;
  for (const auto& [domain, count] : counts) {
    batch.segments.push_back({DomainId{domain}, sequences, sequences + count});
    sequences += count;
  }
  for (std::size_t i = 0; i < sequences * length; ++i) {
    const auto random = philox(Seed{seed}, static_cast<std::uint32_t>(i), 9, 9, 9);
    batch.source.push_back(static_cast<Token>(random.word[0] % vocabulary));
    batch.target.push_back(i % 7 == 3 ? pad_token : static_cast<Token>(random.word[1] % vocabulary));
  }
  return batch;
}

/// What the tests' batches look like: domain 1 has no sequence, domain 0 one and domain 2 two.
inline Batch tiny_batch(std::uint64_t seed = 5) { return random_batch(5, {{0, 1}, {2, 2}}, seed); }

/// Adds noise to all values, each region its own: no bias is zero, no gain one, no expert like another.
template <class Model>
void perturb(Model& model, std::uint64_t seed = 77) {
  auto& values = model.weights().master();
  std::size_t number = 0;
  for (const RegionId id : values.regions()) {
    const auto region = values.region(id);
    const auto noise = random_values(region.size(), seed + number++);
    for (std::size_t i = 0; i < region.size(); ++i)
      region[i] += static_cast<std::decay_t<decltype(region[i])>>(0.3 * noise[i]);
  }
  model.weights().refresh();
}

/// The named parameters of region r.
template <class Model>
const std::vector<ParameterInfo>& parameters(const Model& model, RegionId r) {
  return r.layout(model.layout()).parameters();
}

template <class Arena>
auto span_of(Arena& arena, RegionId region, const ParameterInfo& parameter) {
  return arena.region(region).subspan(parameter.offset, parameter.size());
}

/// The named parameter of region r in an arena; throws Error when there is none.
template <class Model, class Arena>
auto find(const Model& model, Arena& arena, std::string_view name, RegionId r = RegionId::shared()) {
  for (const auto& parameter : parameters(model, r))
    if (parameter.name == name) return span_of(arena, r, parameter);
  throw Error(concat("no parameter ", name));
}

template <class T>
double sum(const std::vector<T>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

/// All of an arena's numbers, region by region.
template <class Arena>
auto all_values(const Arena& arena) {
  std::vector<typename Arena::value_type> result;
  for (const RegionId r : arena.regions()) {
    const auto region = arena.region(r);
    result.insert(result.end(), region.begin(), region.end());
  }
  return result;
}

/// One step of plain gradient descent on the mean loss; returns that loss.
template <class Model>
double descend(Model& model, const Batch& batch, double rate) {
  auto gradients = model.make_gradients();
  const double loss = sum(model.accumulate_gradients(batch, {}, gradients)),
               tokens = static_cast<double>(batch.target_tokens());
  for (const RegionId r : gradients.regions())
    for (std::size_t i = 0; i < gradients.region(r).size(); ++i)
      model.weights().master().region(r)[i] -=
          static_cast<typename Model::T>(rate / tokens) * gradients.region(r)[i];
  return loss / tokens;
}

/// check_gradients for all kinds of positions, tied and untied.
template <class Model>
void check_gradients_of_all_configurations() {
  device::Cpu cpu(1);  // thousands of tiny calls
  for (const auto positions : {Positions::learned, Positions::sinusoidal, Positions::none})
    for (const bool tied : {true, false})
      BOOST_TEST_CONTEXT(name_of(positions) << (tied ? " tied" : " untied")) {
        Model model(cpu, tiny_config(positions, tied), three_domains, Seed{3});
        BOOST_TEST(check_gradients(model, tiny_batch()).checked > 0u);
      }
}

}  // namespace demix::testing
