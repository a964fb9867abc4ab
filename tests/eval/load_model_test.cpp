#include "demix/eval/load_model.hpp"

#include "testing.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(load_model)

BOOST_AUTO_TEST_CASE(attributes_of_a_model_that_cannot_be_in_memory) {
  ModelConfig config = architecture("transformer_lm");
  config.vocabulary = 1000;
  eval::load_model_detail::require_memory_for_model("run/checkpoint_1", config, 2);
  const std::size_t huge = std::size_t{1} << 60;
  for (const auto member : {&ModelConfig::vocabulary, &ModelConfig::layers, &ModelConfig::d_model,
                            &ModelConfig::d_ffn, &ModelConfig::tokens_per_sample}) {
    ModelConfig damaged = config;
    damaged.*member = huge;
    BOOST_CHECK_EXCEPTION(eval::load_model_detail::require_memory_for_model("run/checkpoint_1", damaged, 2),
                          Error, [](const Error& error) {
                            const std::string text = error.what();
                            return text.starts_with("run/checkpoint_1/model.h5: ") &&
                                   text.find("dictionary_size") != std::string::npos &&
                                   text.find(" 1152921504606846976") != std::string::npos &&
                                   text.find("needs at least") != std::string::npos;
                          });
  }
}

BOOST_AUTO_TEST_SUITE_END()
