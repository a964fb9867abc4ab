#pragma once
// Experts as parts: where one lies, whether it fits another model's body, and reading it.

#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "demix/checkpoint/checkpoint.hpp"
#include "demix/device/cpu.hpp"

namespace demix::checkpoint {

/// A checkpoint that has been looked through once: to read what it says again would open every expert's file.
struct Checkpoint {
  /// Of the checkpoint that `link` is or leads to. Throws Error like read_metadata.
  explicit Checkpoint(const std::filesystem::path& link)
      : path(resolve(link)), metadata(read_metadata(path)), has_experts(checkpoint::has_experts(path)) {}

  /// Throws Error for one without experts.
  void require_experts() const {
    require(has_experts, path, ": a ", metadata.experiment, " model has no experts");
  }

  std::filesystem::path path;
  Metadata metadata;
  bool has_experts;
};

/// Checkpoints by the paths that a user gave, each looked through once.
class Checkpoints {
 public:
  /// Throws Error like Checkpoint.
  const Checkpoint& at(const std::filesystem::path& link) {
    const auto path = resolve(link);
    const auto found = known_.find(path);
    return found != known_.end() ? found->second : known_.try_emplace(path, path).first->second;
  }

 private:
  std::map<std::filesystem::path, Checkpoint> known_;
};

/// An expert somewhere: that of `domain` in `checkpoint`, to be known as `name`.
struct ExpertSource {
  std::filesystem::path checkpoint;
  std::string domain, name;
};

/// "NAME", of `checkpoint`, or "CHECKPOINT:NAME"; "=NEW" behind either makes it known as NEW. Throws
/// UsageError.
inline ExpertSource parse_expert_source(const std::string& text, const std::filesystem::path& checkpoint) {
  const auto colon = text.rfind(':');
  const bool own = colon == std::string::npos;
  const std::string rest = own ? text : text.substr(colon + 1);
  const auto equals = rest.find('=');
  ExpertSource source{own ? checkpoint : std::filesystem::path(text.substr(0, colon)), rest.substr(0, equals),
                      equals == std::string::npos ? rest : rest.substr(equals + 1)};
  if (source.domain.empty() || source.name.empty() || source.checkpoint.empty())
    throw UsageError(
        concat("'", text, "' is not an expert: expected NAME, CHECKPOINT:NAME or either with =NEW"));
  require_domain_name<UsageError>(source.name, concat("'", text, "': "));
  return source;
}

namespace experts_detail {

inline std::vector<float> read_values(const hdf5::Object& file, const ParameterInfo& parameter) {
  device::Cpu device;
  std::vector<float> values(parameter.size());
  hdf5::read_rows(device, file, parameter, 0, values.data(), hdf5::NumberType::float32);
  return values;
}

}  // namespace experts_detail

/// Throws Error, which names the first difference, unless two checkpoints are of the same experiment and have
/// the same architecture (dropout and context length may differ), the same vocabulary, and the same values of
/// every shared parameter.
inline void require_same_body(const Checkpoint& a, const Checkpoint& b) {
  const Metadata &ours = a.metadata, &theirs = b.metadata;
  const auto differ = [&](const auto&... parts) {
    throw Error(concat(b.path.string(), " and ", a.path.string(), " do not have the same body: ", parts...));
  };
  if (theirs.experiment != ours.experiment)
    differ("the experiments are ", theirs.experiment, " and ", ours.experiment);
  ModelConfig config = theirs.config;
  config.dropout = ours.config.dropout;
  config.tokens_per_sample = ours.config.tokens_per_sample;
  if (config.describe() != ours.config.describe())
    differ("the architecture is\n  ", theirs.config.describe(), "\nand\n  ", ours.config.describe());
  require_same_vocabulary({b.path.string(), theirs.vocabulary_fingerprint},
                          {a.path.string(), ours.vocabulary_fingerprint});
  const auto our_file = hdf5::open_file(model_file(a.path)), their_file = hdf5::open_file(model_file(b.path));
  const auto layout = hdf5::stored_layout(our_file);
  hdf5::require_region(their_file, layout);
  for (const auto& parameter : layout.parameters()) {
    const auto x = experts_detail::read_values(our_file, parameter),
               y = experts_detail::read_values(their_file, parameter);
    if (std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) != 0)
      differ("the values of ", parameter.name, " differ; an expert fits the body that it was trained with");
  }
}

/// Reads the expert of `domain` into the model's expert region `slot`. Throws Error when there is none, and
/// like load_values.
template <class Model>
void load_expert(const Checkpoint& from, const std::string& domain, Model& model, ExpertId slot) {
  from.require_experts();
  const auto file = open_expert(expert_file(from.path, domain), from.metadata, domain);
  model.weights().assign(
      slot, [&](auto values) { hdf5::read_region(model.device(), file, model.layout().expert, values); });
}

}  // namespace demix::checkpoint
