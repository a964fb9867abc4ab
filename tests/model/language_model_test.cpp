#include "demix/model/language_model.hpp"

#include <boost/mpl/list.hpp>

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

template <class P>
using Dense = DenseModel<device::Cpu, P, ops::Gelu>;
template <class P>
using Tagged = DomainTokenModel<device::Cpu, P, ops::Gelu>;
template <class P>
using Demix = DEMixModel<device::Cpu, P, ops::Gelu>;
using All = boost::mpl::list<Dense<Fp64>, Tagged<Fp64>, Demix<Fp64>>;

struct OnCpu {
  template <class Model>
  Model make_model() {
    return make_model<Model>(cpu);
  }
  template <class Model>
  Model make_model(device::Cpu& device) {
    Model model(device, tiny_config(), three_domains, Seed{3});
    perturb(model);
    return model;
  }

  device::Cpu cpu;
};

template <class Model>
std::vector<typename Model::T> gradients_of(Model& model, const Batch& batch,
                                            const ops::Dropout& dropout = {}) {
  auto gradients = model.make_gradients();
  model.accumulate_gradients(batch, dropout, gradients);
  return all_values(gradients);
}

/// Losses and gradients of the single-precision model, which gets the values of the double-precision one.
template <class Single, class Double>
void check_precisions(Single single, Double exact) {
  for (const RegionId r : exact.weights().master().regions())
    std::copy(exact.weights().master().region(r).begin(), exact.weights().master().region(r).end(),
              single.weights().master().region(r).begin());
  const auto batch = tiny_batch();
  DEMIX_CHECK_CLOSE(single.token_losses(batch), exact.token_losses(batch), Tolerance<float>::model_loss);
  DEMIX_CHECK_CLOSE(gradients_of(single, batch), gradients_of(exact, batch),
                    Tolerance<float>::model_gradient);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(language_model, OnCpu)

BOOST_AUTO_TEST_CASE(single_precision_is_near_double_precision) {
  check_precisions(make_model<Dense<Fp32>>(), make_model<Dense<Fp64>>());
  check_precisions(make_model<Tagged<Fp32>>(), make_model<Tagged<Fp64>>());
  check_precisions(make_model<Demix<Fp32>>(), make_model<Demix<Fp64>>());
}

BOOST_AUTO_TEST_CASE_TEMPLATE(gradients_with_dropout_equal_finite_differences, Model, All) {
  device::Cpu one_thread(1);
  auto model = make_model<Model>(one_thread);
  BOOST_TEST(check_gradients(model, tiny_batch(), {0.3f, Seed{9}, 4, 0}, {.samples = 2}).passed());
  BOOST_TEST((gradients_of(model, tiny_batch(), {0.3f, Seed{9}, 4, 0}) !=
              gradients_of(model, tiny_batch(), {0.3f, Seed{9}, 5, 0})));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(gradients_accumulate, Model, All) {
  auto model = make_model<Model>();
  const auto a = tiny_batch(5), b = tiny_batch(6);
  auto expected = gradients_of(model, a);
  const auto second = gradients_of(model, b);
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] += second[i];
  auto both = model.make_gradients();
  model.accumulate_gradients(a, {}, both);
  model.accumulate_gradients(b, {}, both);
  DEMIX_CHECK_CLOSE(all_values(both), expected, Tolerance<double>::model_gradient);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(one_batch_is_the_sum_of_its_sequences, Model, All) {
  auto model = make_model<Model>();
  const Batch whole = tiny_batch();
  std::vector<double> losses;
  auto sum_of_gradients = model.make_gradients();
  for (const auto& segment : whole.segments)
    for (std::size_t s = segment.first; s < segment.last; ++s) {
      Batch one{5,
                {whole.source.begin() + static_cast<std::ptrdiff_t>(5 * s),
                 whole.source.begin() + static_cast<std::ptrdiff_t>(5 * s + 5)},
                {whole.target.begin() + static_cast<std::ptrdiff_t>(5 * s),
                 whole.target.begin() + static_cast<std::ptrdiff_t>(5 * s + 5)},
                {{segment.domain, 0, 1}}};
      const auto part = model.accumulate_gradients(one, {}, sum_of_gradients);
      losses.insert(losses.end(), part.begin(), part.end());
    }
  DEMIX_CHECK_CLOSE(model.token_losses(whole), losses, Tolerance<double>::model_loss);
  DEMIX_CHECK_CLOSE(gradients_of(model, whole), all_values(sum_of_gradients),
                    Tolerance<double>::model_gradient);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(both_passes_report_the_same_losses, Model, All) {
  auto model = make_model<Model>();
  auto gradients = model.make_gradients();
  const auto losses = model.token_losses(tiny_batch());
  BOOST_TEST((losses == model.accumulate_gradients(tiny_batch(), {}, gradients)));
  BOOST_TEST(losses.size() == 15u);
  for (std::size_t i = 0; i < losses.size(); ++i)
    BOOST_TEST((losses[i] == 0) == (tiny_batch().target[i] == pad_token));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(logits_agree_with_the_losses, Model, All) {
  auto model = make_model<Model>();
  const Batch batch = tiny_batch();
  const auto logits = model.logits(batch);
  const auto losses = model.token_losses(batch);
  const std::size_t prefix = Model::prefix_length, length = 5 + prefix,
                    vocabulary = model.config().vocabulary;
  BOOST_REQUIRE_EQUAL(logits.size(), 3 * length * vocabulary);
  BOOST_TEST(vocabulary == 11 + 3 * prefix);
  for (std::size_t r = 0; r < 15; ++r) {
    if (batch.target[r] == pad_token) continue;
    const double* z = logits.data() + (r / 5 * length + prefix + r % 5) * vocabulary;
    double sum = 0;
    for (std::size_t v = 0; v < vocabulary; ++v) sum += std::exp(z[v]);
    BOOST_TEST(std::log(sum) - z[batch.target[r]] == losses[r], boost::test_tools::tolerance(1e-12));
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(later_tokens_do_not_change_earlier_losses, Model, All) {
  auto model = make_model<Model>();
  Batch batch = random_batch(5, {{1, 1}}, 4);
  const auto before = model.token_losses(batch);
  batch.source[3] = (batch.source[3] + 1) % 11;
  const auto after = model.token_losses(batch);
  for (std::size_t t = 0; t < 3; ++t) BOOST_TEST(before[t] == after[t]);
  BOOST_TEST(before[4] != after[4]);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(order_inside_a_segment_permutes_the_losses, Model, All) {
  auto model = make_model<Model>();
  Batch batch = tiny_batch();
  const auto before = model.token_losses(batch);
  for (auto* tokens : {&batch.source, &batch.target})
    std::swap_ranges(tokens->begin() + 5, tokens->begin() + 10, tokens->begin() + 10);
  auto after = model.token_losses(batch);
  std::swap_ranges(after.begin() + 5, after.begin() + 10, after.begin() + 10);
  BOOST_TEST((before == after));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(runs_repeat_bit_for_bit, Model, All) {
  auto model = make_model<Model>();
  const ops::Dropout dropout{0.2f, Seed{1}, 7, 0};
  const auto first = gradients_of(model, tiny_batch(), dropout);
  const auto losses = model.token_losses(tiny_batch());
  model.token_losses(random_batch(5, {{0, 9}}, 8));  // larger buffers, other contents
  BOOST_TEST((gradients_of(model, tiny_batch(), dropout) == first));
  BOOST_TEST((model.token_losses(tiny_batch()) == losses));
  device::Cpu other_cpu(cpu.threads() == 1 ? 2 : 1);
  auto other = make_model<Model>(other_cpu);
  BOOST_TEST((gradients_of(other, tiny_batch(), dropout) == first));
}

BOOST_AUTO_TEST_CASE(runs_repeat_bit_for_bit_in_single_precision) {
  auto model = make_model<Demix<Fp32>>();
  const auto first = gradients_of(model, tiny_batch());
  for (int i = 0; i < 5; ++i) BOOST_TEST((gradients_of(model, tiny_batch()) == first));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_moved_model_is_the_same_model, Model, All) {
  auto expected = make_model<Model>();
  const auto losses = expected.token_losses(tiny_batch());
  std::vector<Model> models;
  for (int i = 0; i < 3; ++i) models.push_back(make_model<Model>());  // moves, and moves again when it grows
  for (auto& model : models) {
    BOOST_TEST(&model.session().network() == &model.network());
    BOOST_TEST(&model.device() == &expected.device());
    BOOST_TEST(model.token_losses(tiny_batch()) == losses, boost::test_tools::per_element());
    BOOST_TEST((gradients_of(model, tiny_batch()) == gradients_of(expected, tiny_batch())));
  }
}

BOOST_AUTO_TEST_CASE(demix_on_one_expert_is_dense_bit_for_bit) {
  auto dense = make_model<Dense<Fp32>>();
  auto demix = make_model<Demix<Fp32>>();
  for (const RegionId r : demix.weights().master().regions())
    for (const auto& parameter : parameters(demix, r)) {
      const auto from = find(dense, dense.weights().master(), parameter.name);
      std::copy(from.begin(), from.end(), span_of(demix.weights().master(), r, parameter).begin());
    }
  const auto batch = random_batch(5, {{1, 3}}, 5);
  BOOST_TEST((demix.token_losses(batch) == dense.token_losses(batch)));
  auto g_demix = demix.make_gradients(), g_dense = dense.make_gradients();
  demix.accumulate_gradients(batch, {}, g_demix);
  dense.accumulate_gradients(batch, {}, g_dense);
  for (const RegionId r : {RegionId::shared(), RegionId(ExpertId{1})})
    for (const auto& parameter : parameters(demix, r)) {
      const auto a = span_of(g_demix, r, parameter), b = find(dense, g_dense, parameter.name);
      BOOST_TEST(std::equal(a.begin(), a.end(), b.begin(), b.end()), parameter.name);
    }
}

BOOST_AUTO_TEST_CASE(an_expert_learns_from_its_segment_alone) {
  auto model = make_model<Demix<Fp64>>();
  Batch batch = tiny_batch();
  auto before = model.make_gradients(), after = model.make_gradients();
  model.accumulate_gradients(batch, {}, before);
  for (const double g : before.region(ExpertId{1})) BOOST_REQUIRE_EQUAL(g, 0.0);  // domain 1 has no sequence
  for (std::size_t i = 0; i < 5; ++i) batch.source[i] = 10 - batch.source[i];
  model.accumulate_gradients(batch, {}, after);
  const auto equal = [&](RegionId r) {
    return std::equal(before.region(r).begin(), before.region(r).end(), after.region(r).begin());
  };
  BOOST_TEST(!equal(RegionId::shared()));
  BOOST_TEST(!equal(ExpertId{0}));
  BOOST_TEST(equal(ExpertId{2}));
}

BOOST_AUTO_TEST_CASE(experts_differ_and_each_domain_uses_its_own) {
  auto model = make_model<Demix<Fp64>>();
  Batch batch = random_batch(5, {{0, 1}}, 4);
  const auto own = model.token_losses(batch);
  for (double& v : model.weights().master().region(ExpertId{1})) v += 1;
  BOOST_TEST((model.token_losses(batch) == own));
  batch.segments[0].domain = DomainId{1};
  BOOST_TEST((model.token_losses(batch) != own));
}

using EveryActivation = boost::mpl::list<ops::Relu, ops::Gelu, ops::GeluTanh>;

BOOST_AUTO_TEST_CASE_TEMPLATE(not_a_number_in_any_parameter_reaches_the_losses, A, EveryActivation) {
  const auto check = [this]<class Model>(std::type_identity<Model>) {
    Model model(cpu, tiny_config(Positions::learned, false), three_domains, Seed{3});
    perturb(model);
    const Batch batch = random_batch(6, {{1, 2}}, 4);
    for (const RegionId r : model.weights().master().regions())
      for (const auto& parameter : parameters(model, r)) {
        const auto values = span_of(model.weights().master(), r, parameter);
        const std::vector<float> saved(values.begin(), values.end());
        std::fill(values.begin(), values.end(), std::nanf(""));
        const bool used =
            r.is_shared() || r == RegionId(ExpertId{1});  // the shared region, and the expert of domain 1
        const auto losses = model.token_losses(batch);
        for (std::size_t i = 0; i < losses.size(); ++i)
          BOOST_REQUIRE(std::isnan(losses[i]) == (used && batch.target[i] != pad_token));
        std::copy(saved.begin(), saved.end(), values.begin());
      }
  };
  check(std::type_identity<DEMixModel<device::Cpu, Fp32, A>>{});
  check(std::type_identity<DenseModel<device::Cpu, Fp32, A>>{});
}

BOOST_AUTO_TEST_CASE(the_domain_token_changes_the_losses) {
  auto tagged = make_model<Tagged<Fp64>>();
  auto dense = make_model<Dense<Fp64>>();
  Batch batch = random_batch(5, {{0, 2}}, 4);
  const auto tagged_losses = tagged.token_losses(batch), dense_losses = dense.token_losses(batch);
  batch.segments[0].domain = DomainId{2};
  BOOST_TEST((tagged.token_losses(batch) != tagged_losses));
  BOOST_TEST((dense.token_losses(batch) == dense_losses));
  BOOST_TEST(tagged.text_length() == 5u);
  BOOST_TEST(dense.text_length() == 6u);
  BOOST_TEST(tagged.dictionary_size() == 11u);
}

BOOST_AUTO_TEST_CASE(empty_segments_and_empty_batches) {
  auto model = make_model<Demix<Fp64>>();
  const Batch batch = tiny_batch();
  Batch with_gap = batch;
  with_gap.segments.insert(with_gap.segments.begin() + 1, {DomainId{1}, 1, 1});
  BOOST_TEST((gradients_of(model, with_gap) == gradients_of(model, batch)));
  const Batch nothing{5, {}, {}, {}};
  BOOST_TEST(model.token_losses(nothing).empty());
  BOOST_TEST((gradients_of(model, nothing) == std::vector<double>(model.weights().master().size(), 0.0)));
}

BOOST_AUTO_TEST_CASE(logits_in_several_chunks) {
  ModelConfig config = tiny_config();
  config.layers = 1;
  config.vocabulary = 100'000;  // 64 MiB hold 167 rows of floats
  config.tokens_per_sample = 100;
  Dense<Fp32> model(cpu, config, three_domains, Seed{3});
  const Batch both = random_batch(100, {{0, 2}}, 4, config.vocabulary);
  const auto losses = model.token_losses(both);
  auto gradients = model.make_gradients(), parts = model.make_gradients();
  BOOST_TEST((model.accumulate_gradients(both, {}, gradients) == losses));
  std::vector<float> losses_of_parts;
  for (const std::ptrdiff_t at : {0, 100}) {
    const Batch one{100,
                    {both.source.begin() + at, both.source.begin() + at + 100},
                    {both.target.begin() + at, both.target.begin() + at + 100},
                    {{DomainId{0}, 0, 1}}};
    const auto part = model.accumulate_gradients(one, {}, parts);
    losses_of_parts.insert(losses_of_parts.end(), part.begin(), part.end());
  }
  DEMIX_CHECK_CLOSE(losses, losses_of_parts, Tolerance<float>::model_loss);
  DEMIX_CHECK_CLOSE(all_values(gradients), all_values(parts), Tolerance<float>::model_gradient);
}

BOOST_AUTO_TEST_CASE(bad_batches_and_bad_models_are_errors) {
  auto dense = make_model<Dense<Fp64>>();
  auto tagged = make_model<Tagged<Fp64>>();
  auto gradients = dense.make_gradients();
  const Batch long_text = random_batch(6, {{0, 1}}, 1), too_long = random_batch(7, {{0, 1}}, 1);
  dense.token_losses(long_text);
  BOOST_CHECK_THROW(dense.token_losses(too_long), Error);
  BOOST_CHECK_THROW(tagged.token_losses(long_text), Error);
  Batch unknown_token = tiny_batch(), unknown_domain = tiny_batch();
  unknown_token.source[0] = 11;  // the first domain token: not for users
  unknown_domain.segments[1].domain = DomainId{3};
  BOOST_CHECK_THROW(tagged.token_losses(unknown_token), Error);
  BOOST_CHECK_THROW(dense.accumulate_gradients(unknown_domain, {}, gradients), Error);
  BOOST_CHECK_THROW(dense.logits(unknown_domain), Error);
  for (const double g : all_values(gradients)) BOOST_REQUIRE_EQUAL(g, 0.0);

  ModelConfig config = tiny_config();
  config.heads = 3;
  BOOST_CHECK_THROW(Dense<Fp64>(cpu, config, three_domains, Seed{1}), UsageError);
  config = tiny_config();
  config.tokens_per_sample = 1;
  BOOST_CHECK_THROW(Tagged<Fp64>(cpu, config, three_domains, Seed{1}), UsageError);
}

BOOST_AUTO_TEST_CASE(a_forgotten_vocabulary_and_lists_of_domains_that_are_none_are_refused_at_once) {
  const auto refused = [&](const ModelConfig& config, const std::vector<std::string>& domains,
                           const char* word) {
    const auto mentions = [&](const Error& error) {
      return std::string(error.what()).find(word) != std::string::npos;
    };
    BOOST_CHECK_EXCEPTION(Dense<Fp64>(cpu, config, domains, Seed{1}), Error, mentions);
    BOOST_CHECK_EXCEPTION(Tagged<Fp64>(cpu, config, domains), Error, mentions);
    BOOST_CHECK_EXCEPTION(Demix<Fp64>(cpu, config, domains), Error, mentions);
  };
  ModelConfig forgotten = tiny_config();
  for (const std::size_t vocabulary : {0, 3}) {
    forgotten.vocabulary = vocabulary;
    refused(forgotten, three_domains, "set config.vocabulary");
  }
  refused(tiny_config(), {}, "at least one domain");
  refused(tiny_config(), {"law", "code", "law"}, "'law' stands twice");
  refused(tiny_config(), {"law", "co/de"}, "'co/de' cannot be a file name");
}

namespace {

/// What a layer declares, and what its type says about it, need not agree.
template <bool says_experts, class Region>
struct Declaring : DenseFFN<ops::Gelu> {
  static constexpr bool has_experts = says_experts;
  template <device::Device D, Precision P>
  struct Layer : DenseFFN<ops::Gelu>::Layer<D, P> {
    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : DenseFFN<ops::Gelu>::Layer<D, P>(layout, name, config) {
      Region::of(layout).vector(name + Region::suffix, 3, Initializer::zeros());
    }
  };
};
struct InExpert {
  static constexpr const char* suffix = ".extra";
  static RegionLayout& of(ParameterLayout& layout) { return layout.expert; }
};
struct InShared {
  static constexpr const char* suffix = ".extra";
  static RegionLayout& of(ParameterLayout& layout) { return layout.shared; }
};
struct Twice {
  static constexpr const char* suffix = ".fc1.weight";
  static RegionLayout& of(ParameterLayout& layout) { return layout.shared; }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_type_that_contradicts_its_parameters_is_refused_when_the_model_is_built) {
  const auto refused = [&]<class FFN>(const char* word) {
    using Model = LanguageModel<device::Cpu, Fp64, CausalAttention, LayerNorm, FFN, NoConditioning>;
    BOOST_CHECK_EXCEPTION(Model(cpu, tiny_config(), three_domains, Seed{1}), Error, [&](const Error& error) {
      return std::string(error.what()).find(word) != std::string::npos;
    });
  };
  refused.operator()<Declaring<false, InExpert>>("'decoder.layers.0.extra' first: they would never be saved");
  refused.operator()<Declaring<true, InShared>>("has_experts is true");
  refused.operator()<Declaring<false, Twice>>("two parameters are called 'decoder.layers.0.fc1.weight'");
  LanguageModel<device::Cpu, Fp64, CausalAttention, LayerNorm, Declaring<false, InShared>, NoConditioning>
      sound(cpu, tiny_config(), three_domains, Seed{1});
  BOOST_TEST(sound.layout().expert.parameters().empty());
}

BOOST_AUTO_TEST_SUITE_END()
