#include "demix/model/memory.hpp"

#include "demix/model/experiments.hpp"
#include "testing.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(memory)

BOOST_AUTO_TEST_CASE(parameters_are_a_close_lower_bound) {
  device::Cpu device;
  for (const bool tied : {false, true})
    for (const auto positions : {Positions::learned, Positions::sinusoidal}) {
      ModelConfig config = architecture("transformer_lm");
      config.layers = 2;
      config.d_model = 64;
      config.d_ffn = 256;
      config.vocabulary = 1000;
      config.tied_embeddings = tied;
      config.positions = positions;
      const DenseModel<device::Cpu, Fp32, ops::Relu> dense(device, config, {"a", "b"});
      const DEMixModel<device::Cpu, Fp32, ops::Relu> demix(device, config, {"a", "b"});
      for (const auto& [least, found] :
           {std::pair{least_parameters(config, 1), dense.weights().master().size()},
            std::pair{least_parameters(config, 2), demix.weights().master().size()}}) {
        BOOST_TEST(least <= static_cast<double>(found));
        BOOST_TEST(least > 0.9 * static_cast<double>(found));
      }
    }
}

BOOST_AUTO_TEST_CASE(hand_values) {
  ModelConfig config;
  config.layers = 3;
  config.d_model = 10;
  config.d_ffn = 20;
  config.vocabulary = 50;
  config.tokens_per_sample = 7;
  // Two tables of 50 x 10, and per layer 4 x 10 x 10 of attention and 2 x 10 x 20 of each expert.
  BOOST_TEST(least_parameters(config, 1) == 1000 + 3 * (400 + 400));
  BOOST_TEST(least_parameters(config, 4) == 1000 + 3 * (400 + 1600));
  BOOST_TEST(least_model_bytes(config, 1) == 4 * (3400 + 70));
  BOOST_TEST(least_model_bytes(config, 1, 4) == 4 * (4 * 3400 + 70));
  BOOST_TEST(least_batch_bytes(config, 2, 3) == 2 * 7 * (8 + 4 * 3 * (80 + 20)));
  BOOST_TEST(least_cache_bytes(config, 2) == 2 * 3 * 7 * 2 * 10 * 4);
}

BOOST_AUTO_TEST_CASE(sizes_do_not_wrap) {
  ModelConfig config;
  config.vocabulary = std::numeric_limits<std::size_t>::max();
  config.d_model = config.d_ffn = config.layers = config.tokens_per_sample = config.vocabulary;
  BOOST_TEST(least_model_bytes(config, config.layers) > 1e60);
  BOOST_TEST(least_batch_bytes(config, 1e19, config.layers) > 1e60);
}

BOOST_AUTO_TEST_SUITE_END()
