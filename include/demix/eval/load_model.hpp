#pragma once
// From a checkpoint to a model of the type that wrote it.

#include <filesystem>
#include <utility>

#include "demix/checkpoint/checkpoint.hpp"
#include "demix/model/experiments.hpp"

namespace demix::eval {

namespace load_model_detail {

template <class Model, class D, class F>
auto load_and_call(D& device, const std::filesystem::path& path, const checkpoint::Metadata& metadata,
                   F&& f) {
  Model model(device, metadata.config, metadata.domains);
  checkpoint::load_values(path, model);
  return f(model, metadata);
}

template <ops::Activation A, class D, class F>
auto with_activation(D& device, const std::filesystem::path& path, const checkpoint::Metadata& metadata,
                     F&& f) {
  const auto& name = metadata.experiment;
  if (name == "demix") return load_and_call<DEMixModel<D, Fp32, A>>(device, path, metadata, f);
  if (name == "domain_token") return load_and_call<DomainTokenModel<D, Fp32, A>>(device, path, metadata, f);
  require(name == "dense" || name == "unbalanced", path.string(), ": experiment '", name,
          "' is not one of dense, unbalanced, domain_token, demix; a model type of your own needs a program "
          "of its own");
  return load_and_call<DenseModel<D, Fp32, A>>(device, path, metadata, f);
}

}  // namespace load_model_detail

/// f(model, metadata) with the checkpoint's model, its values loaded. Throws Error for an unreadable
/// checkpoint.
template <device::Device D, class F>
auto with_model(D& device, const std::filesystem::path& path, F&& f) {
  const auto metadata = checkpoint::read_metadata(path);
  return ops::Activations::call(metadata.config.activation, [&]<class A>() {
    return load_model_detail::with_activation<A>(device, path, metadata, f);
  });
}

}  // namespace demix::eval
