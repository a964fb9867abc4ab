#pragma once
// From a checkpoint to a model to score with, and the experts that a user lists.

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "demix/core/domain_name.hpp"
#include "demix/program/model_type.hpp"
#include "demix/text/vocabulary.hpp"

namespace demix::program {

/// A model that was loaded.
struct LoadedModel {
  std::shared_ptr<eval::Scorer> scorer;
  checkpoint::Metadata metadata;
  /// Those of the model's domains that were chosen; none of a model to which the domain makes no difference.
  std::vector<DomainId> experts;

  std::vector<std::string> expert_names() const {
    std::vector<std::string> names;
    for (const DomainId e : experts) names.push_back(scorer->domains()[index(e)]);
    return names;
  }
};

/// Throws Error unless the data-bin `data` has the vocabulary of a model of `checkpoint`.
inline void require_vocabulary_of(const std::string& data, const std::string& checkpoint,
                                  const checkpoint::Metadata& metadata) {
  text::require_same_vocabulary({data, text::vocabulary_fingerprint(data)},
                                {checkpoint, metadata.vocabulary_fingerprint});
}

/// All of the checkpoint that `link` is or leads to. Throws Error for one that cannot be read, or of a type
/// that is not in the list.
inline LoadedModel load_model(const ModelList& models, const std::filesystem::path& link, int threads) {
  const checkpoint::ModelSource source(link);
  const auto& metadata = source.metadata();
  LoadedModel loaded{
      models.at(metadata.experiment, source.path().string()).load(source, threads), metadata, {}};
  if (loaded.scorer->tells_domains_apart())
    for (std::size_t d = 0; d < metadata.domains.size(); ++d)
      loaded.experts.push_back(DomainId(static_cast<int>(d)));
  return loaded;
}

/// The same with the experts that the option `option` lists: NAME, or CHECKPOINT:NAME from another one with
/// the same body, or either with =NEW to be known by that name; none lists all. A model with experts loads
/// these only; of a model with domain tokens the list chooses tokens. Throws UsageError, which names the
/// option, for a list that cannot be and a model without experts, and Error for an expert that does not fit.
inline LoadedModel load_experts(const ModelList& models, const std::filesystem::path& link,
                                const std::vector<std::string>& list, const std::string& option,
                                int threads) {
  const auto checkpoints = std::make_shared<checkpoint::Checkpoints>();
  const auto& base = checkpoints->at(link);
  const auto& type = models.at(base.metadata.experiment, base.path.string());
  const auto& domains = base.metadata.domains;
  if (!base.has_experts && type.traits.prefix_length == 0)
    throw UsageError(concat(base.path.string(), ": a ", type.traits.name, " model has no experts"));
  std::vector<checkpoint::ExpertSource> sources;
  std::vector<std::string> names;
  for (const auto& text : list) {
    auto source = checkpoint::parse_expert_source(text, base.path);
    source.checkpoint = resolve(source.checkpoint);
    if (std::find(names.begin(), names.end(), source.name) != names.end())
      throw UsageError(concat(option, ": '", source.name,
                              "' stands twice; CHECKPOINT:NAME=NEW gives one of them another name"));
    if (source.checkpoint == base.path) require_one_of(option, source.domain, domains);
    if (!base.has_experts && (source.checkpoint != base.path || source.name != source.domain))
      throw UsageError(concat(option, ": '", source.name, "' of ", source.checkpoint.string(), ": a ",
                              type.traits.name, " model mixes its own tokens only, by their names"));
    names.push_back(source.name);
    sources.push_back(std::move(source));
  }
  if (list.empty())
    for (const auto& domain : domains) {
      names.push_back(domain);
      sources.push_back({base.path, domain, domain});
    }
  const auto source = base.has_experts ? checkpoint::ModelSource(checkpoints, link, sources)
                                       : checkpoint::ModelSource(checkpoints, link);
  LoadedModel loaded{type.load(source, threads), source.metadata(), {}};
  for (const auto& name : names)
    loaded.experts.push_back(find_domain(loaded.scorer->domains(), name).value());
  return loaded;
}

}  // namespace demix::program
