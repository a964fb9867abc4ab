#include "demix/adapt/start.hpp"

#include <boost/test/unit_test.hpp>
#include <cstring>
#include <map>

#include "checkpoint/fixtures.hpp"

using namespace demix;
using demix::test::Dense, demix::test::DomainTokens, demix::test::Experts, demix::test::small_config;

namespace {

const std::vector<std::string> old_domains{"a", "b", "c"};

template <class Model>
Model random_model(device::Cpu& device, std::vector<std::string> domains, bool tied = false) {
  auto config = small_config();
  config.tied_embeddings = tied;
  Model model(device, config, std::move(domains));
  test::fill_random_bits(model, model.weights().master(), 1);
  return model;
}

/// Which parameters of region `region` have all, some or none of their numbers in the spans.
template <class Model>
std::map<std::string, std::size_t> trained_numbers(const Model& model, adapt::Mode mode, RegionId region) {
  std::map<std::string, std::size_t> result;
  const auto spans = adapt::trained_spans(model, mode);
  for (const auto& parameter : region.layout(model.layout()).parameters())
    for (const auto& span : spans) {
      if (span.region != region) continue;
      const std::size_t first = std::max(span.first, parameter.offset),
                        last = std::min(span.first + span.count, parameter.offset + parameter.size());
      if (first < last) result[parameter.name] += last - first;
    }
  return result;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

std::span<const float> numbers_of(const auto& model, const std::string& name) {
  for (const auto& parameter : model.layout().shared.parameters())
    if (parameter.name == name)
      return model.weights().master().region(RegionId::shared()).subspan(parameter.offset, parameter.size());
  throw Error("no parameter " + name);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(start)

BOOST_AUTO_TEST_CASE(feedforward_trains_the_new_expert_and_nothing_shared) {
  device::Cpu device;
  for (const std::vector<std::string>& domains : {std::vector<std::string>{"new"}, {"a", "b", "new"}}) {
    const auto model = random_model<Experts>(device, domains);
    const auto spans = adapt::trained_spans(model, adapt::Mode::feedforward);
    BOOST_REQUIRE(spans.size() == 1u);
    BOOST_TEST((spans[0].region == RegionId(ExpertId(static_cast<int>(domains.size()) - 1))));
    BOOST_TEST(spans[0].first == 0u);
    BOOST_TEST(spans[0].count == model.layout().expert.size());
  }
}

BOOST_AUTO_TEST_CASE(feedforward_trains_fc1_and_fc2_of_every_block_of_a_dense_model) {
  device::Cpu device;
  const auto model = random_model<Dense>(device, old_domains);
  // C = 8, F = 12.
  std::map<std::string, std::size_t> expected;
  for (const char* block : {"decoder.layers.0", "decoder.layers.1"}) {
    expected[concat(block, ".fc1.weight")] = 96;
    expected[concat(block, ".fc1.bias")] = 12;
    expected[concat(block, ".fc2.weight")] = 96;
    expected[concat(block, ".fc2.bias")] = 8;
  }
  BOOST_TEST((trained_numbers(model, adapt::Mode::feedforward, RegionId::shared()) == expected));
}

BOOST_AUTO_TEST_CASE(feedforward_trains_the_new_token_too) {
  device::Cpu device;
  for (const bool tied : {false, true}) {
    const auto model = random_model<DomainTokens>(device, {"a", "b", "new"}, tied);
    const auto trained = trained_numbers(model, adapt::Mode::feedforward, RegionId::shared());
    BOOST_TEST(trained.size() == (tied ? 9u : 10u));
    BOOST_TEST(trained.at("decoder.embed_tokens.weight") == 8u);
    if (!tied) BOOST_TEST(trained.at("decoder.output_projection.weight") == 8u);
    bool has_last_row = false;
    for (const auto& span : adapt::trained_spans(model, adapt::Mode::feedforward))
      has_last_row |=
          span == optim::ParameterSpan{RegionId::shared(), (11 + 2) * 8, 8};  // the table stands first
    BOOST_TEST(has_last_row);
  }
}

BOOST_AUTO_TEST_CASE(full_trains_everything) {
  device::Cpu device;
  const auto model = random_model<Experts>(device, {"new"});
  const auto spans = adapt::trained_spans(model, adapt::Mode::full);
  BOOST_REQUIRE(spans.size() == 2u);
  BOOST_TEST(spans[0].count == model.layout().shared.size());
  BOOST_TEST(spans[1].count == model.layout().expert.size());
}

BOOST_AUTO_TEST_CASE(an_expert_starts_as_the_chosen_one_bit_for_bit) {
  device::Cpu device;
  const auto base = random_model<Experts>(device, old_domains);
  BOOST_REQUIRE(
      !same_bits(base.weights().master().region(ExpertId{0}), base.weights().master().region(ExpertId{1})));
  for (int start = 0; start < 3; ++start) {
    Experts model(device, small_config(), {"new"});
    adapt::start_from(base, DomainId(start), model);
    BOOST_TEST(same_bits(model.weights().master().region(ExpertId{0}),
                         base.weights().master().region(ExpertId(start))));
    for (const auto& parameter : base.layout().shared.parameters())
      BOOST_TEST(same_bits(numbers_of(model, parameter.name), numbers_of(base, parameter.name)),
                 parameter.name);
  }
}

BOOST_AUTO_TEST_CASE(a_dense_model_starts_as_the_base) {
  device::Cpu device;
  const auto base = random_model<Dense>(device, old_domains);
  Dense model(device, small_config(), {"a", "b", "c", "new"});
  adapt::start_from(base, DomainId(0), model);
  for (const auto& parameter : base.layout().shared.parameters())
    BOOST_TEST(same_bits(numbers_of(model, parameter.name), numbers_of(base, parameter.name)),
               parameter.name);
}

BOOST_AUTO_TEST_CASE(a_new_domain_token_starts_as_the_chosen_one_and_the_old_ones_stay) {
  device::Cpu device;
  for (const bool tied : {false, true}) {
    const auto base = random_model<DomainTokens>(device, old_domains, tied);
    auto config = small_config();
    config.tied_embeddings = tied;
    DomainTokens model(device, config, {"a", "b", "c", "new"});
    adapt::start_from(base, DomainId(1), model);
    for (const auto& parameter : base.layout().shared.parameters()) {
      const auto there = numbers_of(base, parameter.name), here = numbers_of(model, parameter.name);
      BOOST_TEST(same_bits(here.first(there.size()), there), parameter.name);
      if (here.size() == there.size()) continue;
      BOOST_TEST(parameter.rows == 11u + 3u);
      BOOST_TEST(here.size() == there.size() + 8);
      BOOST_TEST(same_bits(here.last(8), there.subspan((11 + 1) * 8, 8)), parameter.name);
    }
    BOOST_TEST(numbers_of(model, "decoder.embed_tokens.weight").size() == (11u + 4u) * 8u);
  }
}

BOOST_AUTO_TEST_SUITE_END()
