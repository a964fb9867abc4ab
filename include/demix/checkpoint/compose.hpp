#pragma once
// New checkpoints from the parts of others: a body and experts. Nothing here knows a model's type, so that a
// user's own feed-forward layers are experts as well. Checkpoints that are read are never changed; what is
// written appears complete or not at all, as by checkpoint::save.

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "demix/checkpoint/experts.hpp"

namespace demix::checkpoint {

namespace compose_detail {

/// Copies parameters from one file to the other, one at a time; a damaged one is an Error.
inline void copy_parameters(const hdf5::Object& from, const hdf5::Object& to) {
  device::Cpu device;
  for (const auto& parameter : hdf5::stored_parameters(from))
    hdf5::write_parameter(device, to, parameter, experts_detail::read_values(from, parameter).data());
}

/// An expert's file for a model of `metadata`, filled by fill(file).
template <class Fill>
void write_expert_file(const std::filesystem::path& path, const Metadata& metadata, const std::string& name,
                       std::size_t parameters, Fill fill) {
  checkpoint_detail::write_file(path, parameters, [&](const hdf5::Object& file) {
    metadata_detail::write_expert(file, metadata, name);
    fill(file);
  });
}

/// Opens a source's expert and throws Error unless every value can be read and the shapes are those of
/// `like`.
inline hdf5::Object open_sound_expert(const ExpertSource& source, const Metadata& metadata,
                                      const std::vector<ParameterInfo>& like) {
  auto file = open_expert(expert_file(source.checkpoint, source.domain), metadata, source.domain);
  const auto parameters = hdf5::stored_parameters(file);
  bool same = like.empty() || parameters.size() == like.size();
  for (std::size_t p = 0; same && p < like.size(); ++p)
    same = experts_detail::same_shape(parameters[p], like[p]);
  require(same, file.name, ": its parameters are not those of the model's other experts");
  for (const auto& parameter : parameters) experts_detail::read_values(file, parameter);
  return file;
}

/// The same bytes under another path, on the disk when this returns.
inline void copy_durably(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code code;
  std::filesystem::copy_file(from, to, code);
  durable::check(code, to, "write this file");
  durable::sync(to);
}

inline Metadata metadata_of_experts(const std::filesystem::path& checkpoint) {
  const auto metadata = read_metadata(checkpoint);
  require(hdf5::read_attribute<std::uint64_t>(hdf5::open_file(model_file(checkpoint)), "experts") > 0,
          checkpoint.string(), ": a ", metadata.experiment, " model has no experts");
  return metadata;
}

inline std::vector<ExpertSource> all_experts(const std::filesystem::path& checkpoint,
                                             const Metadata& metadata) {
  std::vector<ExpertSource> sources;
  for (const auto& domain : metadata.domains) sources.push_back({checkpoint, domain, domain});
  return sources;
}

/// Throws UsageError unless `name` is an expert of the model.
inline void require_expert(const Metadata& metadata, const std::string& name) {
  require_one_of("expert", name, metadata.domains);
}

inline void write_model(const std::filesystem::path& out, const Metadata& metadata, std::uint64_t experts,
                        const std::vector<hdf5::Object>& parts) {
  std::size_t members = 0;
  for (const auto& part : parts) members += hdf5::stored_parameters(part).size();
  checkpoint_detail::write_file(model_file(out), members, [&](const hdf5::Object& file) {
    metadata_detail::write(file, metadata, experts);
    for (const auto& part : parts) copy_parameters(part, file);
  });
}

/// compose, with a further expert `more` whose file write_more(path, metadata) writes, unless its name is
/// empty.
template <class WriteMore>
void compose(const std::filesystem::path& out, const std::filesystem::path& body,
             const std::vector<ExpertSource>& experts, bool with_state, const std::string& more,
             WriteMore write_more) {
  Metadata metadata = metadata_of_experts(body);
  metadata.domains.clear();
  for (const auto& expert : experts) metadata.domains.push_back(expert.name);
  if (!more.empty()) metadata.domains.push_back(more);
  require_domain_names(metadata.domains);
  checkpoint_detail::write_checkpoint(out, [&](const std::filesystem::path& directory) {
    std::vector<hdf5::Object> parts;
    parts.push_back(hdf5::open_file(model_file(body)));
    write_model(directory, metadata, metadata.domains.size(), parts);
    checkpoint_detail::make_directory(directory / "experts");
    std::vector<ParameterInfo> like;
    for (const auto& expert : experts) {
      const auto file = open_sound_expert(expert, metadata, like);
      like = hdf5::stored_parameters(file);
      const auto path = expert_file(directory, expert.name);
      if (expert.name == expert.domain)
        copy_durably(expert_file(expert.checkpoint, expert.domain), path);
      else
        write_expert_file(path, metadata, expert.name, like.size(),
                          [&](const hdf5::Object& renamed) { copy_parameters(file, renamed); });
    }
    if (!more.empty()) write_more(expert_file(directory, more), metadata);
    durable::sync(directory / "experts");
    if (with_state && std::filesystem::exists(state_file(body)))
      copy_durably(state_file(body), state_file(directory));
  });
}

}  // namespace compose_detail

/// Writes the checkpoint `out`: the body of `body` with exactly these experts, in this order. An expert that
/// keeps its name keeps its file byte for byte. with_state: state.h5 goes along unchanged; it serves resuming
/// while the list of experts is the one that it was saved with. Does not ask whether the experts were trained
/// with this body: see require_same_body. Throws Error for experts of another architecture or vocabulary, for
/// damaged files, and when `out` exists.
inline void compose(const std::filesystem::path& out, const std::filesystem::path& body,
                    const std::vector<ExpertSource>& experts, bool with_state = false) {
  compose_detail::compose(out, body, experts, with_state, "", [](const auto&, const auto&) {});
}

/// `checkpoint` with further experts behind its own. Throws Error when a body is another one, or a name is
/// taken.
inline void add_experts(const std::filesystem::path& checkpoint, const std::vector<ExpertSource>& added,
                        const std::filesystem::path& out) {
  const auto metadata = compose_detail::metadata_of_experts(checkpoint);
  auto experts = compose_detail::all_experts(checkpoint, metadata);
  for (const auto& source : added) {
    compose_detail::require_expert(compose_detail::metadata_of_experts(source.checkpoint), source.domain);
    require_same_body(checkpoint, source.checkpoint);
    for (const auto& expert : experts)
      require(expert.name != source.name, checkpoint.string(), ": it has an expert '", source.name,
              "' already; CHECKPOINT:", source.domain, "=NEW adds yours under another name");
    experts.push_back(source);
  }
  compose(out, checkpoint, experts, true);
}

/// `checkpoint` without these experts. Throws UsageError for a name that it does not have, and when none
/// would be left.
inline void remove_experts(const std::filesystem::path& checkpoint, const std::vector<std::string>& names,
                           const std::filesystem::path& out) {
  const auto metadata = compose_detail::metadata_of_experts(checkpoint);
  auto experts = compose_detail::all_experts(checkpoint, metadata);
  for (const auto& name : names) {
    compose_detail::require_expert(metadata, name);
    std::erase_if(experts, [&](const auto& expert) { return expert.name == name; });
  }
  if (experts.empty()) throw UsageError(concat(checkpoint.string(), ": a model needs at least one expert"));
  compose(out, checkpoint, experts, true);
}

/// `checkpoint` with expert `name` known as `new_name`. Throws like the others.
inline void rename_expert(const std::filesystem::path& checkpoint, const std::string& name,
                          const std::string& new_name, const std::filesystem::path& out) {
  const auto metadata = compose_detail::metadata_of_experts(checkpoint);
  compose_detail::require_expert(metadata, name);
  auto experts = compose_detail::all_experts(checkpoint, metadata);
  for (auto& expert : experts)
    if (expert.name == name) expert.name = new_name;
  compose(out, checkpoint, experts);
}

/// `checkpoint` with a further expert whose parameters are the weighted average of those named, computed in
/// double. The weights are divided by their sum. Throws UsageError for weights that are not positive.
inline void merge_experts(const std::filesystem::path& checkpoint,
                          const std::vector<std::pair<std::string, double>>& weights,
                          const std::string& new_name, const std::filesystem::path& out) {
  const auto metadata = compose_detail::metadata_of_experts(checkpoint);
  double total = 0;
  for (const auto& [name, weight] : weights) {
    compose_detail::require_expert(metadata, name);
    if (!(weight > 0) || !std::isfinite(weight))
      throw UsageError(
          concat("merge: the weight of '", name, "' is ", weight, ", expected a positive number"));
    total += weight;
  }
  if (weights.size() < 2) throw UsageError("merge: an average needs two experts or more");
  const auto experts = compose_detail::all_experts(checkpoint, metadata);
  const auto write = [&](const std::filesystem::path& path, const Metadata& composed) {
    std::vector<hdf5::Object> files;
    for (const auto& [name, weight] : weights)
      files.push_back(open_expert(expert_file(checkpoint, name), metadata, name));
    const auto parameters = hdf5::stored_parameters(files.front());
    compose_detail::write_expert_file(
        path, composed, new_name, parameters.size(), [&](const hdf5::Object& file) {
          device::Cpu device;
          for (const auto& parameter : parameters) {
            std::vector<double> sum(parameter.size(), 0.0);
            for (std::size_t i = 0; i < files.size(); ++i) {
              const auto values = experts_detail::read_values(files[i], parameter);
              for (std::size_t k = 0; k < sum.size(); ++k)
                sum[k] += weights[i].second / total * static_cast<double>(values[k]);
            }
            const std::vector<float> average(sum.begin(), sum.end());
            hdf5::write_parameter(device, file, parameter, average.data());
          }
        });
  };
  compose_detail::compose(out, checkpoint, experts, false, new_name, write);
}

/// The body and one expert as a dense model: the checkpoint `out` of experiment "dense", with one domain.
inline void extract_expert(const std::filesystem::path& checkpoint, const std::string& name,
                           const std::filesystem::path& out) {
  Metadata metadata = compose_detail::metadata_of_experts(checkpoint);
  compose_detail::require_expert(metadata, name);
  std::vector<hdf5::Object> parts;
  parts.push_back(hdf5::open_file(model_file(checkpoint)));
  parts.push_back(compose_detail::open_sound_expert({checkpoint, name, name}, metadata, {}));
  metadata.experiment = "dense";
  metadata.domains = {name};
  checkpoint_detail::write_checkpoint(out, [&](const std::filesystem::path& directory) {
    compose_detail::write_model(directory, metadata, 0, parts);
  });
}

}  // namespace demix::checkpoint
