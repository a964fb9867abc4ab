#pragma once
// Compares a model with what PyTorch computed: see record_reference.py, which wrote the file.

#include <hdf5.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "demix/model/experiments.hpp"
#include "demix/optim/adam.hpp"
#include "demix/optim/gradient_norm.hpp"
#include "demix/optim/schedule.hpp"
#include "testing.hpp"

namespace demix::testing {

/// The recorded case EXPERIMENT_ACTIVATION.
class Reference {
 public:
  explicit Reference(const std::string& name)
      : name_(name), file_(H5Fopen(DEMIX_REFERENCE_FILE, H5F_ACC_RDONLY, H5P_DEFAULT)) {
    require(file_ >= 0, "cannot open " DEMIX_REFERENCE_FILE);
  }
  ~Reference() { H5Fclose(file_); }
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;

  /// A dataset, whatever its type and shape, as numbers in a row.
  std::vector<double> read(const std::string& what) const {
    const hid_t dataset = H5Dopen2(file_, (name_ + "/" + what).c_str(), H5P_DEFAULT);
    require(dataset >= 0, "no ", name_, "/", what, " in " DEMIX_REFERENCE_FILE);
    const hid_t space = H5Dget_space(dataset);
    std::vector<double> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
    const herr_t status = H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    H5Sclose(space);
    H5Dclose(dataset);
    require(status >= 0, "cannot read ", name_, "/", what, " in " DEMIX_REFERENCE_FILE);
    return values;
  }

  Batch batch() const {
    Batch batch{8, cast<Token>(read("source")), cast<Token>(read("target")), {}};
    const auto segments = cast<int>(read("segments"));
    for (std::size_t i = 0; i < segments.size(); i += 3)
      batch.segments.push_back({DomainId{segments[i]}, static_cast<std::size_t>(segments[i + 1]),
                                static_cast<std::size_t>(segments[i + 2])});
    return batch;
  }

 private:
  std::string name_;
  hid_t file_;
};

inline constexpr std::size_t reference_stride = 5;

/// f(region, parameter) for the parameters of all regions in the file's order: sorted by name.
template <class Model, class F>
void in_reference_order(const Model& model, F f) {
  for (const RegionId r : model.weights().master().regions()) {
    auto parameters = r.layout(model.layout()).parameters();
    std::sort(parameters.begin(), parameters.end(), [](auto& a, auto& b) { return a.name < b.name; });
    for (const auto& parameter : parameters) f(r, parameter);
  }
}

/// Every fifth number of an arena in the file's order, times `factor`.
template <class Model, class Arena>
std::vector<double> sampled(const Model& model, const Arena& arena, double factor = 1) {
  std::vector<double> result;
  std::size_t position = 0;
  in_reference_order(model, [&](RegionId r, const ParameterInfo& parameter) {
    for (std::size_t i = 0; i < parameter.size(); ++i)
      if (position++ % reference_stride == 0)
        result.push_back(factor * static_cast<double>(arena.region(r)[parameter.offset + i]));
  });
  return result;
}

/// The errors allowed: of the loss, the gradient and its norm, the parameters after two updates, and each
/// loss of the recipe's run, in nats.
struct ReferenceTolerance {
  double loss, gradient, after, recipe;
};

/// A model with the initial values of a case, and its optimizer.
template <class Model>
class ReferenceRun {
 public:
  explicit ReferenceRun(const Reference& reference, bool relu)
      : model_(cpu_, config(relu), {"a", "b", "c"}, Seed{1}),
        gradients_(model_.make_gradients()),
        scratch_(cpu_),
        adam_(cpu_, {}, optim::whole_regions(gradients_)) {
    const auto initial = reference.read("initial");
    std::size_t next = 0;
    in_reference_order(model_, [&](RegionId r, const ParameterInfo& parameter) {
      for (std::size_t i = 0; i < parameter.size(); ++i)
        model_.weights().master().region(r)[parameter.offset + i] =
            static_cast<typename Model::T>(initial.at(next++) / 4096);
    });
    BOOST_REQUIRE_EQUAL(next, initial.size());
  }

  const Model& model() const { return model_; }
  const auto& gradients() const { return gradients_; }  // of the last update, of the summed losses

  struct Report {
    double loss, norm;  // the mean loss before the update, the norm of its gradient before clipping
  };
  Report update(const Batch& batch, double learning_rate) {
    const double tokens = static_cast<double>(batch.target_tokens());
    gradients_.fill_zero();
    double loss = 0, scale = 0;
    std::vector<double> squares(4, 0.0);
    for (const auto token_loss : model_.accumulate_gradients(batch, {}, gradients_))
      loss += token_loss / tokens;
    optim::accumulate_square_norms(cpu_, gradients_, adam_.trained(), scratch_, squares.data());
    optim::clip_scale(cpu_, &tokens, 1, squares.data(), squares.size(), 0.1, &scale);
    adam_.step(model_.weights(), gradients_, {++updates_, learning_rate, &scale});
    return {loss, std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0)) / tokens};
  }

 private:
  static ModelConfig config(bool relu) {
    ModelConfig config;
    config.layers = 2;
    config.d_model = 16;
    config.heads = 2;
    config.d_ffn = 32;
    config.vocabulary = 40;
    config.tokens_per_sample = 8 + Model::prefix_length;
    config.positions = relu ? Positions::sinusoidal : Positions::learned;
    config.tied_embeddings = !relu;
    return config;
  }

  device::Cpu cpu_;
  Model model_;
  decltype(model_.make_gradients()) gradients_;
  device::Array<device::Cpu, typename Model::T> scratch_;
  optim::OptimizerState<device::Cpu, typename Model::PrecisionType, optim::Adam> adam_;
  std::uint64_t updates_ = 0;
};

/// The batch of an update, from 0: every token but padding is 7 update symbols further on.
inline Batch rotated(Batch batch, std::size_t update) {
  for (auto* tokens : {&batch.source, &batch.target})
    for (Token& t : *tokens)
      if (t != pad_token) t = static_cast<Token>(3 + (static_cast<std::size_t>(t) - 3 + 7 * update) % 37);
  return batch;
}

/// Loss, gradient, its norm, two updates, and 30 of fairseq's recipe with its schedule: all as recorded.
template <class Model>
void compare_with_reference(const std::string& name, const ReferenceTolerance& tolerance) {
  const Reference reference(name);
  const bool relu = name.ends_with("relu");
  const Batch batch = reference.batch();
  BOOST_TEST_CONTEXT(name) {
    ReferenceRun<Model> two(reference, relu);
    const auto [loss, norm] = two.update(batch, 5e-4);
    DEMIX_CHECK_CLOSE((std::vector{loss}), reference.read("loss"), tolerance.loss);
    DEMIX_CHECK_CLOSE((std::vector{norm}), reference.read("norm"), tolerance.gradient);
    DEMIX_CHECK_CLOSE(sampled(two.model(), two.gradients(), 1 / static_cast<double>(batch.target_tokens())),
                      reference.read("gradient"), tolerance.gradient);
    two.update(batch, 5e-4);
    DEMIX_CHECK_CLOSE(sampled(two.model(), two.model().weights().master()), reference.read("after"),
                      tolerance.after);

    ReferenceRun<Model> recipe(reference, relu);
    const optim::PolynomialDecay schedule{5e-3, 7, 30, 1e-4, 1.5};
    const auto recorded = reference.read("recipe");
    BOOST_REQUIRE_EQUAL(recorded.size(), 3 * schedule.total_updates);
    for (std::size_t u = 0; u < schedule.total_updates; ++u) {
      const double rate = schedule.learning_rate(u + 1);
      BOOST_TEST_CONTEXT("update " << u + 1) {
        BOOST_TEST(std::fabs(rate - recorded[3 * u + 2]) < 1e-15);
        const auto report = recipe.update(rotated(batch, u), rate);
        BOOST_TEST(std::fabs(report.loss - recorded[3 * u]) < tolerance.recipe);
        BOOST_TEST(report.norm > 0.5);  // the clipping, at 0.1, bites
      }
    }
  }
}

/// All recorded cases.
template <class P>
void compare_all_with_reference(const ReferenceTolerance& tolerance) {
  using device::Cpu;
  for (const std::string experiment : {"dense", "unbalanced"}) {
    compare_with_reference<DenseModel<Cpu, P, ops::Relu>>(experiment + "_relu", tolerance);
    compare_with_reference<DenseModel<Cpu, P, ops::Gelu>>(experiment + "_gelu", tolerance);
  }
  compare_with_reference<DomainTokenModel<Cpu, P, ops::Relu>>("domain_token_relu", tolerance);
  compare_with_reference<DomainTokenModel<Cpu, P, ops::Gelu>>("domain_token_gelu", tolerance);
  compare_with_reference<DEMixModel<Cpu, P, ops::Relu>>("demix_relu", tolerance);
  compare_with_reference<DEMixModel<Cpu, P, ops::Gelu>>("demix_gelu", tolerance);
}

}  // namespace demix::testing
