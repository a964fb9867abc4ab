#include "demix/model/config.hpp"

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

/// The parameters of the shared region and of one expert, counted without allocating them.
template <class FFN>
std::pair<std::size_t, std::size_t> count_parameters(const ModelConfig& config) {
  device::Cpu cpu;
  ParameterLayout layout;
  const InputEmbedding<device::Cpu, Fp32> embedding(cpu, layout, config);
  for (std::size_t l = 0; l < config.layers; ++l)
    Block<device::Cpu, Fp32, CausalAttention, LayerNorm, FFN>(layout, l, config);
  const LayerNorm::Layer<device::Cpu, Fp32> norm(layout, "norm", config);
  std::pair<std::size_t, std::size_t> count;
  for (const auto& parameter : layout.shared.parameters()) count.first += parameter.size();
  for (const auto& parameter : layout.expert.parameters()) count.second += parameter.size();
  return count;
}

template <class Change>
void validate_with(Change change) {
  ModelConfig config = tiny_config();
  change(config);
  config.validate();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(config)

BOOST_AUTO_TEST_CASE(the_table_of_architectures) {
  struct Row {
    const char* name;
    std::size_t layers, d_model, heads, d_ffn, tokens;
  };
  const Row table[] = {{"transformer_lm_gpt3_small", 12, 768, 12, 3072, 1024},
                       {"transformer_lm_gpt3_medium", 24, 1024, 16, 4096, 1024},
                       {"transformer_lm_gpt3_large", 24, 1536, 16, 6144, 1024},
                       {"transformer_lm_gpt3_xl", 24, 2048, 32, 8192, 1024},
                       {"transformer_lm_gpt3_2_7", 32, 2560, 32, 10240, 1024},
                       {"transformer_lm_gpt3_6_7", 32, 4096, 32, 16384, 1024},
                       {"transformer_lm_gpt3_13", 40, 5120, 40, 20480, 1024},
                       {"transformer_lm_gpt3_175", 96, 12288, 96, 49152, 1024}};
  BOOST_TEST(architecture_names().size() == std::size(table) + 1);
  for (const auto& row : table) {
    const ModelConfig c = architecture(row.name);
    BOOST_TEST((c.layers == row.layers && c.d_model == row.d_model && c.heads == row.heads &&
                c.d_ffn == row.d_ffn && c.tokens_per_sample == row.tokens && c.activation == "gelu" &&
                c.positions == Positions::learned && c.tied_embeddings && c.dropout == 0),
               c.describe());
    c.validate();
  }
  const ModelConfig base = architecture("transformer_lm");
  BOOST_TEST((base.layers == 6 && base.d_model == 512 && base.heads == 8 && base.d_ffn == 2048 &&
              base.tokens_per_sample == 128 && base.activation == "relu" &&
              base.positions == Positions::sinusoidal && !base.tied_embeddings && base.dropout == 0.1f),
             base.describe());
  BOOST_CHECK_THROW(architecture("transformer_lm_gpt3_smal"), UsageError);
}

BOOST_AUTO_TEST_CASE(parameter_counts_by_hand) {
  ModelConfig small = architecture("transformer_lm_gpt3_small");
  small.vocabulary = 50264;
  // 50264 x 768 tokens, 1026 x 768 positions, 12 x (4 (768^2 + 768) attention + 2 x 1536 norms
  // + 2 x 768 x 3072 + 3072 + 768 feed-forward), 1536 final norm.
  constexpr std::size_t ffn = 4'722'432, layer = 2'362'368 + 3'072;
  const auto dense = count_parameters<DenseFFN<ops::Gelu>>(small),
             demix = count_parameters<DEMixFFN<ops::Gelu>>(small);
  BOOST_TEST(dense.first == 124'446'720u);
  BOOST_TEST(dense.second == 0u);
  BOOST_TEST(demix.first == 38'602'752u + 787'968u + 12 * layer + 1'536u);
  BOOST_TEST(demix.second == 12 * ffn);
}

BOOST_AUTO_TEST_CASE(what_is_not_a_model_is_a_usage_error) {
  validate_with([](ModelConfig&) {});
  BOOST_CHECK_THROW(validate_with([](ModelConfig& c) { c.layers = 0; }), UsageError);
  BOOST_CHECK_THROW(validate_with([](ModelConfig& c) { c.d_model = 0; }), UsageError);
  BOOST_CHECK_THROW(validate_with([](ModelConfig& c) { c.heads = 0; }), UsageError);
  BOOST_CHECK_THROW(validate_with([](ModelConfig& c) { c.d_ffn = 0; }), UsageError);
  BOOST_CHECK_THROW(validate_with([](ModelConfig& c) { c.tokens_per_sample = 0; }), UsageError);
  BOOST_CHECK_THROW(validate_with([](ModelConfig& c) { c.heads = 3; }), UsageError);
  BOOST_CHECK_THROW(validate_with([](ModelConfig& c) { c.dropout = 1; }), UsageError);
  BOOST_CHECK_THROW(validate_with([](ModelConfig& c) { c.dropout = -0.1f; }), UsageError);
  BOOST_CHECK_THROW(validate_with([](ModelConfig& c) { c.dropout = NAN; }), UsageError);
  BOOST_CHECK_THROW(
      validate_with([](ModelConfig& c) { c.d_model = 9, c.heads = 3, c.positions = Positions::sinusoidal; }),
      UsageError);
  BOOST_CHECK_THROW(
      validate_with([](ModelConfig& c) { c.d_model = 2, c.heads = 1, c.positions = Positions::sinusoidal; }),
      UsageError);
}

BOOST_AUTO_TEST_SUITE_END()
