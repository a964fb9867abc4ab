#pragma once
// Experts as parts: where one lies, whether it fits another model's body, and reading it.

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "demix/checkpoint/checkpoint.hpp"
#include "demix/device/cpu.hpp"

namespace demix::checkpoint {

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
  return source;
}

namespace experts_detail {

inline std::vector<float> read_values(const hdf5::Object& file, const ParameterInfo& parameter) {
  device::Cpu device;
  std::vector<float> values(parameter.size());
  hdf5::read_parameter(device, file, parameter, values.data());
  return values;
}

inline bool same_shape(const ParameterInfo& a, const ParameterInfo& b) {
  return a.name == b.name && a.rows == b.rows && a.cols == b.cols && a.vector == b.vector;
}

}  // namespace experts_detail

/// Throws Error, which names the first difference, unless two checkpoints have the same architecture (dropout
/// and context length may differ), the same vocabulary, and the same values of every shared parameter.
inline void require_same_body(const std::filesystem::path& a, const std::filesystem::path& b) {
  const Metadata ours = read_metadata(a), theirs = read_metadata(b);
  const auto differ = [&](const auto&... parts) {
    throw Error(concat(b.string(), " and ", a.string(), " do not have the same body: ", parts...));
  };
  ModelConfig config = theirs.config;
  config.dropout = ours.config.dropout;
  config.tokens_per_sample = ours.config.tokens_per_sample;
  if (config.describe() != ours.config.describe())
    differ("the architecture is\n  ", theirs.config.describe(), "\nand\n  ", ours.config.describe());
  if (theirs.vocabulary_fingerprint != ours.vocabulary_fingerprint)
    differ("the vocabularies' fingerprints are ", theirs.vocabulary_fingerprint, " and ",
           ours.vocabulary_fingerprint);
  const auto our_file = hdf5::open_file(model_file(a)), their_file = hdf5::open_file(model_file(b));
  const auto our_body = hdf5::stored_parameters(our_file), their_body = hdf5::stored_parameters(their_file);
  if (our_body.size() != their_body.size())
    differ("they have ", their_body.size(), " and ", our_body.size(), " shared parameters");
  for (std::size_t p = 0; p < our_body.size(); ++p) {
    if (!experts_detail::same_shape(our_body[p], their_body[p]))
      differ("shared parameter ", p, " is ", their_body[p].name, " [", their_body[p].rows, ", ",
             their_body[p].cols, "] and ", our_body[p].name, " [", our_body[p].rows, ", ", our_body[p].cols,
             "]");
    const auto x = experts_detail::read_values(our_file, our_body[p]),
               y = experts_detail::read_values(their_file, their_body[p]);
    if (std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) != 0)
      differ("the values of ", our_body[p].name, " differ; an expert fits the body that it was trained with");
  }
}

/// Reads a source's expert into the model's expert region `slot`. Throws Error when there is none, and like
/// load_values.
template <class Model>
void load_expert(const ExpertSource& source, Model& model, DomainId slot) {
  const auto metadata = read_metadata(source.checkpoint);
  require(hdf5::read_attribute<std::uint64_t>(hdf5::open_file(model_file(source.checkpoint)), "experts") > 0,
          source.checkpoint.string(), ": a ", metadata.experiment, " model has no experts");
  hdf5::read_region(model.device(),
                    open_expert(expert_file(source.checkpoint, source.domain), metadata, source.domain),
                    model.layout().expert, model.values().region(1 + static_cast<std::size_t>(index(slot))));
}

}  // namespace demix::checkpoint
