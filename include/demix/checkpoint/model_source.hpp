#pragma once
// Where the parameters of a model come from: one checkpoint, or a body and experts of several.

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "demix/checkpoint/checkpoint.hpp"
#include "demix/checkpoint/experts.hpp"
#include "demix/core/memory_limit.hpp"
#include "demix/model/memory.hpp"

namespace demix::checkpoint {

namespace model_source_detail {

/// Throws Error where a model of the checkpoint's attributes, with so many experts, cannot be in memory.
inline void require_memory_for_model(const std::filesystem::path& path, const ModelConfig& c,
                                     std::size_t experts) {
  require_memory(least_model_bytes(c, experts), model_file(path).string(),
                 ": a model of its attributes dictionary_size ", c.vocabulary, ", layers ", c.layers,
                 ", d_model ", c.d_model, ", d_ffn ", c.d_ffn, " and tokens_per_sample ",
                 c.tokens_per_sample);
}

}  // namespace model_source_detail

/// A model that is to be loaded. Its checkpoints were looked through once.
class ModelSource {
 public:
  /// All of the checkpoint that `link` is or leads to. Throws Error for one that cannot be read.
  explicit ModelSource(const std::filesystem::path& link)
      : ModelSource(std::make_shared<Checkpoints>(), link) {}
  /// The same, where `checkpoints` may have looked through it already.
  ModelSource(std::shared_ptr<Checkpoints> checkpoints, const std::filesystem::path& link)
      : ModelSource(std::move(checkpoints), link, nullptr) {
    domains_ = metadata_.domains;
    if (base_->has_experts)
      for (const auto& domain : domains_) experts_.emplace_back(base_, domain);
  }

  /// The body of `link` with these experts only, each known by its name, all different. Throws Error for a
  /// checkpoint without experts, and for an expert of another body or vocabulary.
  ModelSource(std::shared_ptr<Checkpoints> checkpoints, const std::filesystem::path& link,
              const std::vector<ExpertSource>& experts)
      : ModelSource(std::move(checkpoints), link, nullptr) {
    base_->require_experts();
    std::set<std::filesystem::path> same_body{base_->path};
    for (const auto& [checkpoint, domain, name] : experts) {
      const Checkpoint& from = checkpoints_->at(checkpoint);
      if (same_body.insert(from.path).second) {
        require_same_body(*base_, from);
        metadata_.vocabulary_fingerprint =
            text::require_same_vocabulary({from.path.string(), from.metadata.vocabulary_fingerprint},
                                          {base_->path.string(), metadata_.vocabulary_fingerprint});
      }
      domains_.push_back(name);
      experts_.emplace_back(&from, domain);
    }
  }

  const std::filesystem::path& path() const { return base_->path; }
  /// Of the body, with all that is known of the vocabulary.
  const Metadata& metadata() const { return metadata_; }
  bool has_experts() const { return base_->has_experts; }
  /// The model's.
  const std::vector<std::string>& domains() const { return domains_; }

  /// The model, on `device`. Throws Error for a type that did not write the checkpoint, damaged files, and
  /// where the model cannot be in memory.
  template <class Model>
  Model load(typename Model::DeviceType& device, typename Model::Use use = Model::Use::training) const {
    const auto& c = metadata_.config;
    model_source_detail::require_memory_for_model(path(), c, std::max<std::size_t>(1, experts_.size()));
    Model model(device, c, domains_, use);
    load_shared(*base_, model);
    for (std::size_t j = 0; j < experts_.size(); ++j)
      load_expert(*experts_[j].first, experts_[j].second, model,
                  model.network().expert_of(DomainId(static_cast<int>(j))));
    return model;
  }

 private:
  ModelSource(std::shared_ptr<Checkpoints> checkpoints, const std::filesystem::path& link, std::nullptr_t)
      : checkpoints_(std::move(checkpoints)), base_(&checkpoints_->at(link)), metadata_(base_->metadata) {}

  std::shared_ptr<Checkpoints> checkpoints_;
  const Checkpoint* base_;
  Metadata metadata_;
  std::vector<std::string> domains_;
  std::vector<std::pair<const Checkpoint*, std::string>> experts_;  // of each domain: where, and as what
};

}  // namespace demix::checkpoint
