#pragma once
// From a checkpoint to a model of the type that wrote it.

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include "demix/checkpoint/checkpoint.hpp"
#include "demix/checkpoint/experts.hpp"
#include "demix/core/names.hpp"
#include "demix/model/experiments.hpp"
#include "demix/model/memory.hpp"

namespace demix::eval {

namespace load_model_detail {

/// call.operator()<Model>() with the type that an experiment's models have.
template <ops::Activation A, class D, class Call>
auto with_type(const checkpoint::Metadata& metadata, const std::filesystem::path& path, Call&& call) {
  const auto& name = metadata.experiment;
  if (name == "demix") return call.template operator()<DEMixModel<D, Fp32, A>>();
  if (name == "domain_token") return call.template operator()<DomainTokenModel<D, Fp32, A>>();
  require(name == "dense" || name == "unbalanced", path, ": experiment '", name,
          "' is not one of dense, unbalanced, domain_token, demix; a model type of your own needs a program "
          "of its own");
  return call.template operator()<DenseModel<D, Fp32, A>>();
}

/// Throws Error where a model of the checkpoint's attributes, with so many experts, cannot be in memory.
inline void require_memory_for_model(const std::filesystem::path& path, const ModelConfig& c,
                                     std::size_t experts) {
  require_memory(least_model_bytes(c, experts), checkpoint::model_file(path).string(),
                 ": a model of its attributes dictionary_size ", c.vocabulary, ", layers ", c.layers,
                 ", d_model ", c.d_model, ", d_ffn ", c.d_ffn, " and tokens_per_sample ",
                 c.tokens_per_sample);
}

}  // namespace load_model_detail

/// f(model, metadata) with the model of the checkpoint that `link` is or leads to, its values loaded. Throws
/// Error for an unreadable checkpoint.
template <device::Device D, class F>
auto with_model(D& device, const std::filesystem::path& link, F&& f) {
  const auto path = resolve(link);
  const auto metadata = checkpoint::read_metadata(path);
  return ops::Activations::call(metadata.config.activation, [&]<class A>() {
    return load_model_detail::with_type<A, D>(metadata, path, [&]<class Model>() {
      load_model_detail::require_memory_for_model(path, metadata.config,
                                                  Model::has_experts ? metadata.domains.size() : 1);
      Model model(device, metadata.config, metadata.domains);
      checkpoint::load_values(path, metadata, model);
      return f(model, metadata);
    });
  });
}

/// f(model, metadata, experts) with such a checkpoint's model and the experts that a user lists: NAME, or
/// CHECKPOINT:NAME from another one with the same body, or either with =NEW to be known by that name; none
/// lists all. A model with experts loads these only; of a domain-token model the list chooses tokens.
/// `experts` are the listed ones among model.domains(). Throws UsageError, with the name of the `option`, for
/// a list that cannot be, and Error for an expert that does not fit.
template <device::Device D, class F>
auto with_experts(D& device, const std::filesystem::path& link, const std::vector<std::string>& list, F&& f,
                  const std::string& option = "--experts") {
  checkpoint::Checkpoints checkpoints;
  const auto& base = checkpoints.at(link);
  const auto& path = base.path;
  auto metadata = base.metadata;
  std::vector<checkpoint::ExpertSource> sources;
  for (const auto& text : list) {
    sources.push_back(checkpoint::parse_expert_source(text, path));
    sources.back().checkpoint = resolve(sources.back().checkpoint);
  }
  if (list.empty())
    for (const auto& domain : metadata.domains) sources.push_back({path, domain, domain});
  std::vector<std::string> names;
  for (const auto& source : sources) {
    if (std::find(names.begin(), names.end(), source.name) != names.end())
      throw UsageError(concat(option, ": '", source.name,
                              "' stands twice; CHECKPOINT:NAME=NEW gives one of "
                              "them another name"));
    names.push_back(source.name);
    if (source.checkpoint == path) require_one_of(option, source.domain, metadata.domains);
  }
  return ops::Activations::call(metadata.config.activation, [&]<class A>() {
    return load_model_detail::with_type<A, D>(metadata, path, [&]<class Model>() {
      std::vector<DomainId> experts;
      load_model_detail::require_memory_for_model(path, metadata.config,
                                                  Model::has_experts ? names.size() : 1);
      if constexpr (Model::has_experts) {
        std::set<std::filesystem::path> same_body{path};
        for (const auto& source : sources)
          if (const auto& other = checkpoints.at(source.checkpoint); same_body.insert(other.path).second) {
            checkpoint::require_same_body(base, other);
            metadata.vocabulary_fingerprint =
                require_same_vocabulary({other.path.string(), other.metadata.vocabulary_fingerprint},
                                        {path.string(), metadata.vocabulary_fingerprint});
          }
        Model model(device, metadata.config, names);
        checkpoint::load_shared(path, metadata, model);
        for (std::size_t j = 0; j < sources.size(); ++j) {
          experts.push_back(DomainId(static_cast<int>(j)));
          checkpoint::load_expert(checkpoints.at(sources[j].checkpoint), sources[j].domain, model,
                                  model.network().expert_of(experts.back()));
        }
        return f(model, metadata, experts);
      } else {
        if (Model::prefix_length == 0)
          throw UsageError(concat(path.string(), ": a ", metadata.experiment, " model has no experts"));
        for (const auto& source : sources) {
          if (source.checkpoint != path || source.name != source.domain)
            throw UsageError(concat(option, ": '", source.name, "' of ", source.checkpoint.string(),
                                    ": a domain_token model mixes its own tokens only, by their names"));
          const auto at = std::find(metadata.domains.begin(), metadata.domains.end(), source.domain);
          experts.push_back(DomainId(static_cast<int>(at - metadata.domains.begin())));
        }
        Model model(device, metadata.config, metadata.domains);
        checkpoint::load_values(path, metadata, model);
        return f(model, metadata, experts);
      }
    });
  });
}

}  // namespace demix::eval
