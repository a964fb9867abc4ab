// A type behind ModelType: what a list says of it, and a run of the type from training to an adaptation.

#include "demix/program/typed_model.hpp"

#include <boost/test/unit_test.hpp>
#include <thread>

#include "captured.hpp"
#include "demix/eval/perplexity.hpp"
#include "model/archetype.hpp"
#include "train/run_setting.hpp"

using namespace demix;
using namespace demix::program;
using namespace demix::test;

namespace {

using Chosen = DEMixModel<device::Cpu, Fp32, ops::Activations>;
using Own =
    LanguageModel<device::Cpu, Fp32, CausalAttention, LayerNorm, testing::IdentityFFN, NoConditioning>;

const auto experts_type = model_type<Experts>("demix");
const auto dense_type = model_type<Dense>("dense", data::Sampling::unbalanced);

struct Fixture : RunSetting {
  Fixture() {
    write_text("new", "train", 7);
    write_text("new", "valid_new", 6);
    settings.max_update = settings.validate_interval = settings.save_interval = 2;
  }

  TrainOptions options(const ModelType& type) const {
    TrainOptions result{data(), domains, small_config(), settings, {}, 1};
    result.settings.experiment = type.traits.name;
    result.settings.sampling = type.traits.sampling;
    return result;
  }
  AdaptOptions adaptation(const ModelType& type, const std::string& from) const {
    AdaptOptions result;
    auto& a = result.adaptation;
    a.data = data();
    a.checkpoint = last();
    a.domain = "new";
    a.from = from;
    a.training = settings;
    a.training.experiment = type.traits.name;
    a.training.save_dir = folder.path / "adapted";
    return result;
  }
  fs::path last() const { return settings.save_dir / "checkpoint_last"; }

  data::BlockDataset valid(const std::string& domain, const eval::Scorer& scorer) const {
    return data::open_split(data(), domain, "valid", 11, scorer.text_length());
  }
};

/// Trains, with what it says on standard error.
std::pair<int, std::string> run_training(const ModelType& type, const TrainOptions& options) {
  const CapturedDescriptor errors(STDERR_FILENO);
  StopSignal stop("trainer");
  const int code = type.train(options, comm::Any(comm::Self()), stop);
  return {code, errors.text()};
}

struct Adapted {
  int code;
  std::string output, errors;
};

Adapted run_adaptation(const ModelType& type, const AdaptOptions& options) {
  const CapturedDescriptor output(STDOUT_FILENO), errors(STDERR_FILENO);
  StopSignal stop("demix-adapt");
  const int code = type.adapt(checkpoint::ModelSource(options.adaptation.checkpoint), options, stop);
  return {code, output.text(), errors.text()};
}

std::shared_ptr<eval::Scorer> load(const ModelType& type, const fs::path& path) {
  return type.load(checkpoint::ModelSource(path), 1);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(typed_models)

BOOST_AUTO_TEST_CASE(it_says_what_the_type_is) {
  BOOST_TEST(dense_type->traits.name == "dense");
  BOOST_TEST((dense_type->traits.sampling == data::Sampling::unbalanced));
  BOOST_TEST((experts_type->traits.sampling == data::Sampling::balanced));
  BOOST_TEST(experts_type->traits.has_experts);
  BOOST_TEST(!dense_type->traits.has_experts);
  BOOST_TEST(dense_type->traits.prefix_length == 0u);
  BOOST_TEST(model_type<DomainTokens>("t")->traits.prefix_length == 1u);
}

BOOST_AUTO_TEST_CASE(activations_are_those_that_a_configuration_may_name) {
  BOOST_TEST(dense_type->traits.activations == std::vector<std::string>{"relu"},
             boost::test_tools::per_element());
  BOOST_TEST(
      model_type<Chosen>("c")->traits.activations == (std::vector<std::string>{"relu", "gelu", "gelu_tanh"}),
      boost::test_tools::per_element());
  BOOST_TEST(model_type<Own>("own")->traits.activations.empty());
}

BOOST_AUTO_TEST_CASE(what_was_trained_and_is_loaded_gives_the_perplexities_of_validation) {
  for (const auto& type : {experts_type, dense_type}) {
    Fixture f;
    const auto [code, errors] = run_training(*type, f.options(*type));
    BOOST_TEST(code == 0);
    // Two domains of 2 x 2 sequences of 5 tokens.
    BOOST_TEST(contains(errors, type->traits.name + ": "), errors);
    BOOST_TEST(contains(errors, " parameters, 2 domains, 40 tokens per update, 1 threads\n"), errors);
    const auto metadata = checkpoint::read_metadata(f.last());
    BOOST_TEST(metadata.step == 2u);
    BOOST_TEST(metadata.experiment == type->traits.name);
    const auto lines = metrics(f.settings.save_dir);
    BOOST_REQUIRE(lines.back().at("type") == "valid");
    const auto scorer = load(*type, f.last());
    BOOST_TEST(scorer->domains() == two_domains, boost::test_tools::per_element());
    for (int d = 0; d < 2; ++d) {
      const auto& name = two_domains[static_cast<std::size_t>(d)];
      const auto text = f.valid(name, *scorer);
      const auto score =
          eval::evaluate(*scorer, text, DomainId{d}, eval::default_sequences(text.block_length()));
      BOOST_TEST(score.perplexity() == lines.back().at("perplexity").at(name).get<double>());
    }
  }
}

BOOST_AUTO_TEST_CASE(training_that_a_signal_stops_says_so_and_goes_on_later) {
  Fixture f;
  f.settings.max_update = 1000000;
  f.settings.validate_interval = 0;
  f.settings.save_interval = 0;
  std::atomic<bool> ended = false;
  std::thread signaller([&] {
    std::error_code none;
    const auto log = f.settings.save_dir / "metrics.jsonl";
    while (!ended && (!fs::exists(log) || fs::file_size(log, none) == 0)) std::this_thread::yield();
    if (!ended) ::kill(::getpid(), SIGTERM);
  });
  const auto [code, errors] = run_training(*experts_type, f.options(*experts_type));
  ended = true;
  signaller.join();
  BOOST_TEST(code == 128 + SIGTERM);
  BOOST_TEST(contains(errors, "trainer: SIGTERM: stopping after this micro-batch, or batch of validation"),
             errors);
  const auto step = checkpoint::read_metadata(f.last()).step;
  BOOST_TEST(step > 0u);
  BOOST_TEST(step < 1000000u);
}

BOOST_AUTO_TEST_CASE(an_adaptation_of_a_model_with_experts_joins_the_new_one) {
  Fixture f;
  run_training(*experts_type, f.options(*experts_type));
  const auto options = f.adaptation(*experts_type, "");
  const auto done = run_adaptation(*experts_type, options);
  BOOST_TEST(done.code == 0);
  BOOST_TEST(contains(done.errors, "estimating the posterior over 2 domains on the valid split of new\n"),
             done.errors);
  BOOST_TEST(contains(done.errors, " of them trained, 20 tokens per update, 1 threads\n"), done.errors);
  BOOST_TEST(contains(done.errors, "has all 3 experts\n"), done.errors);

  // The posterior, as its own estimate has it, and the more probable one.
  const auto base = load(*experts_type, f.last());
  const auto text = f.valid("new", *base);
  const auto posterior = eval::estimate_posterior(*base, text, eval::default_sequences(text.block_length()),
                                                  adapt::posterior_batches);
  char table[256];
  std::snprintf(table, sizeof table,
                "domain            posterior\na                  %.6f\nb                  %.6f\n"
                "new starts from %s, the most probable\n",
                posterior[0], posterior[1], posterior[0] > posterior[1] ? "a" : "b");
  BOOST_TEST(done.output == table);

  const auto joined = load(*experts_type, f.folder.path / "adapted" / "joined"),
             alone = load(*experts_type, f.folder.path / "adapted" / "checkpoint_last");
  BOOST_TEST(joined->domains() == (std::vector<std::string>{"a", "b", "new"}),
             boost::test_tools::per_element());
  const Batch as_new{4, {2, 4, 7, 5}, {4, 7, 5, 10}, {{DomainId{2}, 0, 1}}};
  Batch as_first = as_new;
  as_first.segments.front().domain = DomainId{0};
  BOOST_TEST(joined->token_losses(as_new) == alone->token_losses(as_first), boost::test_tools::per_element());
  BOOST_TEST(joined->token_losses(as_first) == base->token_losses(as_first),
             boost::test_tools::per_element());
  BOOST_TEST((joined->token_losses(as_new) != joined->token_losses(as_first)));
}

BOOST_AUTO_TEST_CASE(an_adaptation_of_a_model_without_experts_chooses_and_joins_nothing) {
  Fixture f;
  run_training(*dense_type, f.options(*dense_type));
  const auto done = run_adaptation(*dense_type, f.adaptation(*dense_type, ""));
  BOOST_TEST(done.code == 0);
  BOOST_TEST(done.output == "");
  BOOST_TEST(!contains(done.errors, "posterior"), done.errors);
  BOOST_TEST(!contains(done.errors, "joined"), done.errors);
  BOOST_TEST(!fs::exists(f.folder.path / "adapted" / "joined"));
  BOOST_TEST(load(*dense_type, f.folder.path / "adapted" / "checkpoint_last")->domains() ==
                 (std::vector<std::string>{"a", "b", "new"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_start_that_is_named_is_taken_and_printed) {
  Fixture f;
  run_training(*experts_type, f.options(*experts_type));
  const auto done = run_adaptation(*experts_type, f.adaptation(*experts_type, "b"));
  BOOST_TEST(done.output == "new starts from b\n");
  BOOST_TEST(!contains(done.errors, "estimating"), done.errors);
}

BOOST_AUTO_TEST_SUITE_END()
