#pragma once
// Compares a model with what PyTorch computed: see record_reference.py, which wrote the file.

#include <hdf5.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "demix/model/experiments.hpp"
#include "demix/optim/adam.hpp"
#include "demix/optim/gradient_norm.hpp"
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

/// The errors allowed: of the loss, the gradient and its norm, and the parameters after two updates.
struct ReferenceTolerance {
  double loss, gradient, after;
};

/// Loss, gradient, its norm and two updates of the recipe: all as recorded.
template <class Model>
void compare_with_reference(const std::string& name, const ReferenceTolerance& tolerance) {
  const Reference reference(name);
  const bool relu = name.ends_with("relu");
  ModelConfig config;
  config.layers = 2;
  config.d_model = 16;
  config.heads = 2;
  config.d_ffn = 32;
  config.vocabulary = 40;
  config.tokens_per_sample = 8 + Model::prefix_length;
  config.positions = relu ? Positions::sinusoidal : Positions::learned;
  config.tied_embeddings = !relu;
  device::Cpu cpu;
  Model model(cpu, config, {"a", "b", "c"}, Seed{1});
  const auto initial = reference.read("initial");
  std::size_t next = 0;
  in_reference_order(model, [&](RegionId r, const ParameterInfo& parameter) {
    for (std::size_t i = 0; i < parameter.size(); ++i)
      model.weights().master().region(r)[parameter.offset + i] =
          static_cast<typename Model::T>(initial.at(next++) / 4096);
  });
  BOOST_TEST_CONTEXT(name) {
    BOOST_REQUIRE_EQUAL(next, initial.size());
    const Batch batch = reference.batch();
    const double tokens = static_cast<double>(batch.target_tokens());
    auto gradients = model.make_gradients();
    device::Array<device::Cpu, typename Model::T> scratch(cpu);
    optim::OptimizerState<device::Cpu, typename Model::PrecisionType, optim::Adam> adam(
        cpu, {}, optim::whole_regions(gradients));
    for (std::uint64_t update = 1; update <= 2; ++update) {
      gradients.fill_zero();
      double loss = 0, scale = 0;
      std::vector<double> squares(4, 0.0);
      for (const auto token_loss : model.accumulate_gradients(batch, {}, gradients))
        loss += token_loss / tokens;
      optim::accumulate_square_norms(cpu, gradients, adam.trained(), scratch, squares.data());
      optim::clip_scale(cpu, &tokens, 1, squares.data(), squares.size(), 0.1, &scale);
      const double norm = std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0)) / tokens;
      if (update == 1) {
        DEMIX_CHECK_CLOSE((std::vector{loss}), reference.read("loss"), tolerance.loss);
        DEMIX_CHECK_CLOSE((std::vector{norm}), reference.read("norm"), tolerance.gradient);
        DEMIX_CHECK_CLOSE(sampled(model, gradients, 1 / tokens), reference.read("gradient"),
                          tolerance.gradient);
      }
      adam.step(model.weights(), gradients, {update, 5e-4, &scale});
    }
    DEMIX_CHECK_CLOSE(sampled(model, model.weights().master()), reference.read("after"), tolerance.after);
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
