// From checkpoints to models and experts, whose numbers are those of the models that were saved.

#include "demix/program/load.hpp"

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"
#include "demix/program/typed_model.hpp"

using namespace demix;
using namespace demix::program;
using namespace demix::test;

namespace {

const ModelList models({model_type<Dense>("dense"), model_type<DomainTokens>("domain_token"),
                        model_type<Experts>("demix")});
const std::vector<std::string> three{"news", "law", "code"};

/// A sequence read as the model's domain `domain`.
Batch text_of(int domain) { return {4, {2, 4, 7, 5}, {4, 7, 5, 10}, {{DomainId{domain}, 0, 1}}}; }

template <class Model>
std::vector<double> losses_of(Model& model, int domain) {
  const auto losses = model.token_losses(text_of(domain));
  return {losses.begin(), losses.end()};
}

void check_same(const std::vector<double>& found, const std::vector<double>& expected) {
  BOOST_TEST(found == expected, boost::test_tools::per_element());
}

/// Checkpoints of models whose experts and tokens all differ.
struct Fixture {
  TemporaryFolder folder;
  device::Cpu cpu{1};

  template <class Model>
  Model model_of(const std::vector<std::string>& domains, std::uint64_t seed) {
    Model model(cpu, small_config(), domains, Seed{seed});
    std::uint32_t count = 0;
    for (const RegionId r : model.weights().master().regions())
      for (float& x : model.weights().master().region(r))
        x += 0.6f * (uniform_unit(philox(Seed{seed}, count++, 1, 0, 0).word[0]) - 0.5f);
    return model;
  }
  template <class Model>
  fs::path save(const std::string& name, const std::string& experiment, Model& model) {
    save_without_state(folder.path / name, experiment, model);
    return folder.path / name;
  }
  /// Experts of other values on the same body.
  Experts sibling(const Experts& model, const std::vector<std::string>& domains, std::uint64_t seed) {
    Experts other = model_of<Experts>(domains, seed);
    const auto body = model.weights().master().region(RegionId::shared());
    std::copy(body.begin(), body.end(), other.weights().master().region(RegionId::shared()).begin());
    return other;
  }
};

std::vector<DomainId> domains(std::initializer_list<int> numbers) {
  std::vector<DomainId> result;
  for (const int n : numbers) result.push_back(DomainId{n});
  return result;
}

/// The message of the UsageError that f must throw.
template <class F>
std::string usage_error_of(F f) {
  try {
    f();
  } catch (const UsageError& error) {
    return error.what();
  } catch (const Error& error) {
    return concat("not a UsageError: ", error.what());
  }
  return "no error";
}

void check_says(const std::string& message, const std::vector<std::string>& parts) {
  for (const auto& part : parts)
    BOOST_TEST(message.find(part) != std::string::npos, "'" << message << "' does not say '" << part << "'");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(loading)

BOOST_FIXTURE_TEST_CASE(a_model_is_loaded_by_the_type_that_marks_it, Fixture) {
  const auto check = [&]<class Model>(const std::string& experiment, const std::vector<DomainId>& experts) {
    auto model = model_of<Model>(three, 5);
    const auto path = save(experiment, experiment, model);
    fs::create_directory_symlink(experiment, folder.path / "last");
    for (const auto& link : {path, folder.path / "last"}) {
      const auto loaded = load_model(models, link, 1);
      BOOST_TEST(loaded.metadata.experiment == experiment);
      BOOST_TEST(loaded.metadata.step == 3u);
      BOOST_TEST(loaded.scorer->domains() == three, boost::test_tools::per_element());
      BOOST_TEST((loaded.experts == experts));
      BOOST_TEST(loaded.expert_names() == (experts.empty() ? std::vector<std::string>{} : three),
                 boost::test_tools::per_element());
      for (const int domain : {0, 1, 2})
        check_same(loaded.scorer->token_losses(text_of(domain)), losses_of(model, domain));
    }
    fs::remove(folder.path / "last");
  };
  check.operator()<Dense>("dense", {});
  check.operator()<DomainTokens>("domain_token", domains({0, 1, 2}));
  check.operator()<Experts>("demix", domains({0, 1, 2}));
}

BOOST_FIXTURE_TEST_CASE(a_model_that_is_not_there_or_not_in_the_list, Fixture) {
  auto model = model_of<Experts>(three, 5);
  const auto path = save("own", "demix_gated", model);
  const std::vector<std::string> parts{path.string(), "'demix_gated'", "dense, domain_token, demix"};
  check_says(error_of([&] { load_model(models, path, 1); }), parts);
  check_says(error_of([&] { load_experts(models, path, {"law"}, "--experts", 1); }), parts);
  check_says(error_of([&] { load_model(models, folder.path / "none", 1); }),
             {(folder.path / "none").string(), "not a checkpoint"});
}

BOOST_FIXTURE_TEST_CASE(experts_of_two_checkpoints_under_old_and_new_names, Fixture) {
  auto base = model_of<Experts>(three, 5), other = sibling(base, {"news", "novel"}, 6);
  const auto path = save("base", "demix", base), more = save("other", "demix", other);
  BOOST_TEST((losses_of(base, 0) != losses_of(other, 0)));
  const auto loaded = load_experts(
      models, path, {"code", more.string() + ":novel", more.string() + ":news=other_news", "law=court"},
      "--experts", 1);
  BOOST_TEST(loaded.scorer->domains() == (std::vector<std::string>{"code", "novel", "other_news", "court"}),
             boost::test_tools::per_element());
  BOOST_TEST((loaded.experts == domains({0, 1, 2, 3})));
  BOOST_TEST(loaded.expert_names() == loaded.scorer->domains(), boost::test_tools::per_element());
  BOOST_TEST(loaded.metadata.domains == three, boost::test_tools::per_element());
  check_same(loaded.scorer->token_losses(text_of(0)), losses_of(base, 2));
  check_same(loaded.scorer->token_losses(text_of(1)), losses_of(other, 1));
  check_same(loaded.scorer->token_losses(text_of(2)), losses_of(other, 0));
  check_same(loaded.scorer->token_losses(text_of(3)), losses_of(base, 1));

  // One expert under two names, and the base by a link.
  fs::create_directory_symlink("base", folder.path / "last");
  const auto twice =
      load_experts(models, folder.path / "last", {path.string() + ":law", "law=law2"}, "--experts", 1);
  BOOST_TEST(twice.expert_names() == (std::vector<std::string>{"law", "law2"}),
             boost::test_tools::per_element());
  for (const int domain : {0, 1}) check_same(twice.scorer->token_losses(text_of(domain)), losses_of(base, 1));
}

BOOST_FIXTURE_TEST_CASE(a_list_of_experts_that_cannot_be_is_refused, Fixture) {
  auto base = model_of<Experts>(three, 5), other = sibling(base, {"news", "novel"}, 6),
       stranger = model_of<Experts>({"novel"}, 7);
  const auto path = save("base", "demix", base), more = save("other", "demix", other),
             strange = save("strange", "demix", stranger);
  const auto refusal = [&](const std::vector<std::string>& list) {
    return usage_error_of([&] { load_experts(models, path, list, "--experts", 1); });
  };
  check_says(refusal({"law", "code", "law"}), {"--experts: 'law' stands twice", "CHECKPOINT:NAME=NEW"});
  check_says(refusal({"news", more.string() + ":news"}), {"--experts: 'news' stands twice"});
  check_says(refusal({"law", "code=law"}), {"--experts: 'law' stands twice"});
  check_says(refusal({"lwa"}), {"--experts", "'lwa'", "did you mean 'law'"});
  fs::create_directory_symlink("base", folder.path / "last");
  for (const auto& itself : {path, folder.path / "last"})
    check_says(refusal({itself.string() + ":lwa"}), {"--experts", "did you mean 'law'"});
  check_says(refusal({"law="}), {"'law=' is not an expert"});
  check_says(refusal({"law=../law"}), {"cannot be a file name"});
  const auto error = [&](const std::string& expert) {
    return error_of([&] { load_experts(models, path, {"law", expert}, "--experts", 1); });
  };
  check_says(error(more.string() + ":novl"), {more.string(), "novl"});
  check_says(error(strange.string() + ":novel"),
             {strange.string(), path.string(), "do not have the same body"});
  check_says(error((folder.path / "none").string() + ":novel"), {"none", "not a checkpoint"});
}

BOOST_FIXTURE_TEST_CASE(a_dense_model_has_no_experts_to_list, Fixture) {
  auto dense = model_of<Dense>(three, 5);
  auto base = model_of<Experts>(three, 5);
  const auto path = save("dense", "dense", dense), experts = save("base", "demix", base);
  for (const auto& list : {std::vector<std::string>{"law"}, std::vector<std::string>{}})
    BOOST_TEST(usage_error_of([&] { load_experts(models, path, list, "--experts", 1); }) ==
               path.string() + ": a dense model has no experts");
  check_says(error_of([&] { load_experts(models, experts, {path.string() + ":law"}, "--experts", 1); }),
             {path.string()});
}

BOOST_FIXTURE_TEST_CASE(of_domain_tokens_a_list_chooses_by_name, Fixture) {
  auto tokens = model_of<DomainTokens>(three, 5), more = model_of<DomainTokens>(three, 6);
  const auto path = save("tokens", "domain_token", tokens), other = save("other", "domain_token", more);
  fs::create_directory_symlink("tokens", folder.path / "last");
  const auto loaded =
      load_experts(models, path, {"code", (folder.path / "last").string() + ":news"}, "--experts", 1);
  BOOST_TEST((loaded.experts == domains({2, 0})));
  BOOST_TEST(loaded.expert_names() == (std::vector<std::string>{"code", "news"}),
             boost::test_tools::per_element());
  BOOST_TEST(loaded.scorer->domains() == three, boost::test_tools::per_element());
  for (const int domain : {0, 1, 2})
    check_same(loaded.scorer->token_losses(text_of(domain)), losses_of(tokens, domain));
  const auto refusal = [&](const std::vector<std::string>& list) {
    return usage_error_of([&] { load_experts(models, path, list, "--experts", 1); });
  };
  check_says(refusal({"law=court"}), {"--experts: 'court'", "domain_token model mixes its own tokens only"});
  check_says(refusal({other.string() + ":law"}), {"'law' of " + other.string(), "its own tokens only"});
  check_says(refusal({"lwa"}), {"did you mean 'law'"});
  check_says(refusal({"law", "law"}), {"stands twice"});
}

BOOST_AUTO_TEST_SUITE_END()
