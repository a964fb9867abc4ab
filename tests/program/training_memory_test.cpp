#include "demix/program/training_memory.hpp"

#include "testing.hpp"

using namespace demix;

namespace {

/// What training refuses such a model and batch with.
std::string refusal(std::size_t ModelConfig::*member, std::size_t value, std::size_t batch_size = 2,
                    std::size_t update_freq = 8) {
  ModelConfig config = architecture("transformer_lm");
  config.vocabulary = 1000;
  config.*member = value;
  train::Settings settings;
  settings.batch_size = batch_size;
  settings.update_freq = update_freq;
  try {
    program::require_memory_for_training(config, settings, 3, 3);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(training_memory)

BOOST_AUTO_TEST_CASE(a_usual_model_is_accepted) { BOOST_TEST(refusal(&ModelConfig::layers, 6) == ""); }

BOOST_AUTO_TEST_CASE(the_option_with_the_greatest_share_is_named) {
  constexpr std::size_t huge = std::size_t{1} << 60;
  for (const auto& [member, start] :
       {std::pair{&ModelConfig::layers, "--layers 1152921504606846976: training needs at least "},
        {&ModelConfig::d_model, "--d-model 1152921504606846976: training needs at least "},
        {&ModelConfig::d_ffn, "--d-ffn 1152921504606846976: training needs at least "},
        {&ModelConfig::tokens_per_sample,
         "--tokens-per-sample 1152921504606846976: training needs at least "}})
    BOOST_TEST(refusal(member, huge).starts_with(start), refusal(member, huge));
  BOOST_TEST(
      refusal(&ModelConfig::layers, 6, huge).starts_with("--batch-size 1152921504606846976: training needs"));
  BOOST_TEST(refusal(&ModelConfig::layers, 6, 2, huge * 8).find("--update-freq") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
