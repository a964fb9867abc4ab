#include "demix/model/gradient_check.hpp"

#include <cmath>

#include "model/model_testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

enum class Fault { none, scaled, missing, overwritten, not_a_number, input, loss_without_gradient };

/// y = w x column by column, which also adds w^2 / 2 to the loss, with a fault on the way back. For the CPU.
template <Fault fault>
struct Scale {
  static constexpr bool has_experts = false;

  template <device::Device D, Precision P>
  struct Layer {
    struct Saved {
      explicit Saved(D&) {}
    };
    using T = compute_t<P>;
    ParameterRef weight;

    Layer(ParameterLayout& layout, const std::string& name, const ModelConfig& config)
        : weight(layout.shared.vector(name + ".scale", config.d_model, Initializer::ones())) {}

    void forward(const ForwardPass<D, P>& pass, Matrix<const T> x, Matrix<T> y, Saved&) const {
      const auto w = pass.weights.shared(weight);
      for (std::size_t i = 0; i < x.size(); ++i) y.data[i] = w.data[i % x.cols] * x.data[i];
      for (std::size_t c = 0; pass.added_loss && c < w.cols; ++c)
        *pass.added_loss += w.data[c] * w.data[c] / 2;
    }
    void backward(const BackwardPass<D, P>& pass, Matrix<const T> x, Matrix<const T> dy, Matrix<T> dx,
                  Saved&) const {
      const auto w = pass.weights.shared(weight);
      const auto dw = pass.gradients.shared(weight);
      if (fault == Fault::overwritten) pass.device.fill_zero(dw.data, dw.cols);
      for (std::size_t i = 0; i < x.size() && fault != Fault::missing; ++i)
        dw.data[i % x.cols] += dy.data[i] * x.data[i] * (fault == Fault::scaled ? 1.001 : 1);
      for (std::size_t c = 0; c < w.cols && fault != Fault::loss_without_gradient; ++c)
        dw.data[c] += w.data[c];
      if (fault == Fault::not_a_number) dw.data[0] = NAN;
      for (std::size_t i = 0; i < x.size(); ++i)
        dx.data[i] = dy.data[i] * (fault == Fault::input ? 1 : w.data[i % x.cols]);
    }
  };
};

template <class FFN, class Conditioning = NoConditioning>
using Model = LanguageModel<device::Cpu, Fp64, CausalAttention, LayerNorm, FFN, Conditioning>;

template <class M>
struct Fixture {
  device::Cpu cpu{1};
  M model{cpu, tiny_config(), three_domains, Seed{3}};
};

template <class M>
concept Checkable = requires(M& model, const Batch& batch) {
  check_gradients(model, batch);
};
static_assert(Checkable<DEMixModel<device::Cpu, Fp64, ops::Relu>>);
static_assert(!Checkable<DEMixModel<device::Cpu, Fp32, ops::Relu>>);

/// The message of the check that must fail.
template <Fault fault>
std::string failure() {
  Fixture<Model<Scale<fault>>> f;
  try {
    check_gradients(f.model, tiny_batch(), {}, {.samples = 8});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gradient_check)

BOOST_AUTO_TEST_CASE(right_gradients_pass_with_a_term_of_the_loss) {
  Fixture<Model<Scale<Fault::none>>> f;
  const auto report = check_gradients(f.model, tiny_batch());
  BOOST_TEST(report.passed());
  BOOST_TEST(!report.parameter.empty());
  BOOST_TEST(report.error > 0);
  BOOST_TEST(report.error <= 1);
}

BOOST_AUTO_TEST_CASE(experts_and_domain_tokens_with_dropout_pass) {
  Fixture<Model<DEMixFFN<ops::Gelu>, DomainToken>> f;
  BOOST_TEST(check_gradients(f.model, tiny_batch(), {0.3f, Seed{9}, 4, 0}, {.samples = 2}).passed());
}

BOOST_AUTO_TEST_CASE(wrong_gradients_are_named) {
  for (const std::string& message : {failure<Fault::scaled>(), failure<Fault::missing>(),
                                     failure<Fault::overwritten>(), failure<Fault::loss_without_gradient>()})
    BOOST_TEST((message.find("gradient check: decoder.layers.") == 0 &&
                message.find(".scale[") != std::string::npos),
               message);
  const std::string not_a_number = failure<Fault::not_a_number>();
  BOOST_TEST((not_a_number.find(".scale[0]: the gradient is") != std::string::npos &&
              not_a_number.find("inf times") != std::string::npos),
             not_a_number);
  // What a wrong gradient by the input spoils is what comes before it.
  BOOST_TEST(failure<Fault::input>().find("gradient check: ") == 0);
}

BOOST_AUTO_TEST_CASE(an_expert_is_named_with_its_number) {
  GradientReport report{"fc1.weight", ExpertId{2}, 7, 1, 3, 10, 1};
  BOOST_TEST(
      report.describe() ==
      "fc1.weight[7] of expert 2: the gradient is 1, finite differences give 3 (10 times the allowed error)");
  BOOST_TEST(!report.passed());
}

BOOST_AUTO_TEST_CASE(weights_are_put_back_and_samples_are_counted) {
  Fixture<Model<Scale<Fault::none>>> f;
  const auto before = all_values(f.model.weights().master());
  std::size_t some = 0, all = 0;
  for (const auto& parameter : f.model.layout().shared.parameters()) {
    some += std::min<std::size_t>(parameter.size(), 3);
    all += parameter.size();
  }
  BOOST_TEST(check_gradients(f.model, tiny_batch(), {}, {.samples = 3}).checked == some);
  BOOST_TEST(check_gradients(f.model, tiny_batch(), {}, {.samples = 1000000}).checked == all);
  BOOST_TEST(all_values(f.model.weights().master()) == before, boost::test_tools::per_element());
}

// Without noise all experts are alike and biases zero.
BOOST_AUTO_TEST_CASE(noise_moves_the_weights_that_are_checked) {
  Fixture<Model<DEMixFFN<ops::Gelu>>> f;
  const auto without = check_gradients(f.model, tiny_batch(), {}, {.noise = 0}),
             with = check_gradients(f.model, tiny_batch());
  BOOST_TEST(without.analytic != with.analytic);
}

BOOST_AUTO_TEST_CASE(padding_among_the_source_tokens_is_refused) {
  Fixture<Model<Scale<Fault::none>>> f;
  Batch batch = tiny_batch();
  batch.source[3] = pad_token;
  BOOST_CHECK_THROW(check_gradients(f.model, batch), Error);
}

BOOST_AUTO_TEST_CASE(tolerances_are_heeded) {
  Fixture<Model<Scale<Fault::scaled>>> f;
  BOOST_TEST(check_gradients(f.model, tiny_batch(), {}, {.relative = 0.01}).passed());
  BOOST_CHECK_THROW(check_gradients(f.model, tiny_batch(), {}, {.relative = 1e-5}), Error);
}

BOOST_AUTO_TEST_SUITE_END()
