#include "demix/program/train_options.hpp"

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"
#include "testing.hpp"

using namespace demix;

namespace {

const program::ModelTraits dense{"dense", {}, false, 0, {"relu", "gelu", "gelu_tanh"}},
    experts{"demix", {}, true, 0, {"relu", "gelu", "gelu_tanh"}};

program::TrainOptions parse(std::vector<std::string> arguments, const program::ModelTraits& type = dense) {
  arguments.insert(arguments.begin(), {"demix-train-x", "data-bin", "--save-dir", "runs/a"});
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  program::TrainOptions run;
  require(program::parse_train_options("demix-train-x", "", type, static_cast<int>(argv.size()), argv.data(),
                                       run),
          "no help");
  return run;
}

std::string refusal(const std::vector<std::string>& arguments, const program::ModelTraits& type = dense) {
  return test::error_of([&] { parse(arguments, type); });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(options)

BOOST_AUTO_TEST_CASE(the_defaults_are_the_recipe) {
  const auto run = parse({"--arch", "transformer_lm_gpt3_small"});
  BOOST_TEST(run.data == "data-bin");
  BOOST_TEST(run.config.layers == 12u);
  BOOST_TEST(run.config.d_model == 768u);
  BOOST_TEST(run.config.tokens_per_sample == 1024u);
  BOOST_TEST(run.config.tied_embeddings);
  const auto& s = run.settings;
  BOOST_TEST(s.max_update == 300000u);
  BOOST_TEST(s.warmup_updates == 24000u);
  BOOST_TEST(s.validate_interval == 3000u);
  BOOST_TEST(s.save_interval == 6000u);
  BOOST_TEST(s.learning_rate == 5e-4);
  BOOST_TEST(s.clip_norm == 0.1);
  BOOST_TEST(s.batch_size == 2u);
  BOOST_TEST(s.update_freq == 8u);
  BOOST_TEST(s.adam.beta1 == 0.9);
  BOOST_TEST(s.adam.beta2 == 0.95);
  BOOST_TEST(s.adam.eps == 1e-7);
  BOOST_TEST(s.adam.weight_decay == 0.1);
  BOOST_TEST((s.initial_values == InitialValues::xavier));
}

BOOST_AUTO_TEST_CASE(initial_values_may_be_the_originals) {
  BOOST_TEST((parse({"--init", "fairseq"}).settings.initial_values == InitialValues::fairseq));
  BOOST_TEST((parse({"--init", "xavier"}).settings.initial_values == InitialValues::xavier));
  BOOST_TEST(refusal({"--init", "zeros"}).starts_with("--init: unknown value 'zeros'"),
             refusal({"--init", "zeros"}));
}

BOOST_AUTO_TEST_CASE(single_options_override_the_architecture) {
  const auto run = parse({"--layers", "3", "--d-model", "48", "--heads", "4", "--activation", "gelu_tanh",
                          "--positions", "learned", "--share-decoder-input-output-embed", "true", "--dropout",
                          "0", "--adam-betas", "(0.8, 0.9)", "--train-domains", "b,a"});
  BOOST_TEST(run.config.layers == 3u);
  BOOST_TEST(run.config.d_model == 48u);
  BOOST_TEST(run.config.d_ffn == 2048u);
  BOOST_TEST(run.config.activation == "gelu_tanh");
  BOOST_TEST((run.config.positions == Positions::learned));
  BOOST_TEST(run.config.tied_embeddings);
  BOOST_TEST(run.config.dropout == 0.0f);
  BOOST_TEST(run.settings.adam.beta1 == 0.8);
  BOOST_TEST(run.settings.adam.beta2 == 0.9);
  BOOST_TEST(run.domains == (std::vector<std::string>{"b", "a"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_run_may_start_from_a_checkpoint) {
  BOOST_TEST(!parse({}).settings.start.has_value());
  const auto restored = parse({"--restore-file", "old"}).settings.start;
  BOOST_TEST(restored->checkpoint == "old");
  BOOST_TEST(restored->continues);
  for (const auto& options : {std::vector<std::string>{"--finetune-from-model", "old"},
                              {"--restore-file", "old", "--reset-optimizer"}}) {
    const auto start = parse(options).settings.start;
    BOOST_TEST(start->checkpoint == "old");
    BOOST_TEST(!start->continues);
  }
  BOOST_TEST(refusal({"--reset-optimizer"}) == "--reset-optimizer is for --restore-file");
  BOOST_TEST(
      refusal({"--finetune-from-model", "a", "--restore-file", "b"}).starts_with("--finetune-from-model"));
  BOOST_TEST(
      refusal({"--finetune-from-model", "a", "--reset-optimizer"}).starts_with("--finetune-from-model"));
}

BOOST_AUTO_TEST_CASE(experts_are_trained_alone_from_a_start) {
  BOOST_TEST(!parse({}, experts).freezes_shared);
  for (const char* start : {"--restore-file", "--finetune-from-model"}) {
    const auto run = parse({"--freeze-shared", start, "old", "--only-domains", "b,a"}, experts);
    BOOST_TEST(run.freezes_shared);
    BOOST_TEST(run.domains == (std::vector<std::string>{"b", "a"}), boost::test_tools::per_element());
    BOOST_TEST(parse({"--freeze-shared", start, "old"}, experts).domains.empty());
  }
  BOOST_TEST(refusal({"--freeze-shared"}, experts).starts_with("--freeze-shared needs the checkpoint"));
  BOOST_TEST(refusal({"--freeze-shared", "--restore-file", "old"}) ==
             "--freeze-shared trains experts alone, and a dense model has none");
  BOOST_TEST(refusal({"--only-domains", "a", "--restore-file", "old"}, experts)
                 .starts_with("--only-domains needs --freeze-shared"));
  BOOST_TEST(refusal({"--freeze-shared", "--restore-file", "old", "--train-domains", "a"}, experts)
                 .starts_with("--train-domains: with --freeze-shared the domains are the checkpoint's"));
  program::ModelTraits unbalanced{"own", data::Sampling::unbalanced, true, 0, {"relu"}};
  const std::vector<std::string> part{
      "--freeze-shared", "--restore-file", "old", "--activation", "relu", "--only-domains", "a"};
  BOOST_TEST(refusal(part, unbalanced).starts_with("--only-domains: a own model draws"));
}

BOOST_AUTO_TEST_CASE(what_is_validated_has_two_names) {
  const std::vector<std::string> two{"a", "b"};
  BOOST_TEST(parse({"--eval-domains", "a,b"}).settings.validation.domains == two,
             boost::test_tools::per_element());
  BOOST_TEST(parse({"--valid-subset", "valid_a,valid_b"}).settings.validation.domains == two,
             boost::test_tools::per_element());
  BOOST_TEST(
      parse({"--valid-subset", "valid_a,valid_b", "--eval-domains", "b,a"}).settings.validation.domains ==
          two,
      boost::test_tools::per_element());
  BOOST_TEST(refusal({"--valid-subset", "valid_a", "--eval-domains", "b"}).starts_with("--valid-subset and"));
  BOOST_TEST(
      refusal({"--valid-subset", "valid_a,test_b"}).starts_with("--valid-subset: expected valid_DOMAIN"));
  BOOST_TEST(parse({}).settings.saves);
  BOOST_TEST(!parse({"--no-save"}).settings.saves);
  BOOST_TEST(parse({"--max-sentences", "5"}).settings.batch_size == 5u);
  BOOST_TEST(parse({"--max-sentences-valid", "6"}).settings.validation.batch_size == 6u);
}

BOOST_AUTO_TEST_SUITE_END()
