#include "demix/model/transformer.hpp"

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

using Dense = DenseModel<device::Cpu, Fp32, ops::Gelu>::Network;
using Demix = DEMixModel<device::Cpu, Fp32, ops::Gelu>::Network;
using Tagged = DomainTokenModel<device::Cpu, Fp32, ops::Gelu>::Network;

}  // namespace

BOOST_AUTO_TEST_SUITE(transformer)

BOOST_AUTO_TEST_CASE(sizes_by_hand) {
  device::Cpu cpu;
  const Dense dense(cpu, tiny_config(), three_domains);
  const Demix demix(cpu, tiny_config(), three_domains);
  const Tagged tagged(cpu, tiny_config(), three_domains);
  BOOST_TEST(dense.experts() == 0u);
  BOOST_TEST(demix.experts() == 3u);
  BOOST_TEST((Demix::expert_of(DomainId{2}) == ExpertId{2}));
  BOOST_TEST(dense.text_length() == 6u);
  BOOST_TEST(tagged.text_length() == 5u);
  BOOST_TEST(dense.blocks().size() == 2u);
  BOOST_TEST(tagged.config().vocabulary == 14u);
  BOOST_TEST(tagged.dictionary_size() == 11u);
  BOOST_TEST(tagged.dictionary_config().vocabulary == 11u);
  // C = 8, F = 12: a block's two norms, attention, and feed-forward layer.
  const std::size_t norm = 2 * 8, attention = 4 * (8 * 8 + 8), ffn = 2 * 8 * 12 + 8 + 12;
  const auto parameters = [](const RegionLayout& region) {
    std::size_t count = 0;
    for (const auto& parameter : region.parameters()) count += parameter.size();
    return count;
  };
  const std::size_t body = 11 * 8 + (6 + 2) * 8 + 2 * (2 * norm + attention) + norm;
  BOOST_TEST(parameters(dense.layout().shared) == body + 2 * ffn);
  BOOST_TEST(parameters(demix.layout().shared) == body);
  BOOST_TEST(parameters(demix.layout().expert) == 2 * ffn);
  BOOST_TEST(parameters(tagged.layout().shared) == body + 2 * ffn + 3 * 8);
}

BOOST_AUTO_TEST_CASE(tied_embeddings_are_one_table) {
  device::Cpu cpu;
  const Dense tied(cpu, tiny_config(), three_domains);
  const Dense untied(cpu, tiny_config(Positions::learned, false), three_domains);
  BOOST_TEST(tied.output_projection().offset == tied.embedding().token_table().offset);
  BOOST_TEST(untied.output_projection().offset != untied.embedding().token_table().offset);
  BOOST_TEST(untied.output_projection().rows == 11u);
  BOOST_TEST(untied.output_projection().cols == 8u);
}

BOOST_AUTO_TEST_CASE(the_type_decides_the_activation) {
  device::Cpu cpu;
  ModelConfig config = tiny_config();
  config.activation = "";
  BOOST_TEST(Dense(cpu, config, three_domains).config().activation == "gelu");
  config.activation = "gelu";
  BOOST_TEST(Dense(cpu, config, three_domains).config().activation == "gelu");
  config.activation = "relu";
  BOOST_CHECK_EXCEPTION(Dense(cpu, config, three_domains), UsageError, [](const Error& error) {
    const std::string text = error.what();
    return text.find("'relu'") != std::string::npos && text.find("'gelu'") != std::string::npos;
  });
}

BOOST_AUTO_TEST_SUITE_END()
