#pragma once
// New checkpoints from the parts of others: a body and experts. Nothing here knows a model's type, so that a
// user's own feed-forward layers are experts as well. Checkpoints that are read are never changed; what is
// written appears complete or not at all, as by checkpoint::save.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "demix/checkpoint/checkpoint.hpp"
#include "demix/checkpoint/experts.hpp"
#include "demix/core/names.hpp"
#include "demix/core/output_file.hpp"

namespace demix::checkpoint {

namespace compose_detail {

/// A checkpoint with experts: what to make others of.
struct Base : Checkpoint {
  /// Throws Error for one that cannot be read, or has no experts.
  explicit Base(const std::filesystem::path& link) : Checkpoint(link) {
    require_experts();
    for (const auto& domain : metadata.domains) experts.push_back({path, domain, domain});
  }

  std::vector<ExpertSource> experts;
};

/// Throws UsageError unless `name` is one of the checkpoint's experts.
inline void require_expert(const Checkpoint& checkpoint, const std::string& name) {
  require_one_of("expert", name, checkpoint.metadata.domains);
}

inline void require_distinct(const std::vector<std::string>& names) {
  std::set<std::string> seen;
  for (const auto& name : names)
    if (!seen.insert(name).second) throw UsageError(concat("expert '", name, "' is named twice"));
}

/// Copies parameters from one file to the other, one at a time; a damaged one is an Error.
inline void copy_parameters(const hdf5::Object& from, const hdf5::Object& to) {
  device::Cpu device;
  const auto layout = hdf5::stored_layout(from);
  for (const auto& parameter : layout.parameters())
    hdf5::write_parameter(device, to, parameter, experts_detail::read_values(from, parameter).data());
}

/// An expert's file for a model of `metadata`, filled by fill(file).
template <class Fill>
void write_expert_file(const std::filesystem::path& path, const Metadata& metadata, const std::string& name,
                       std::size_t parameters, Fill fill) {
  hdf5::write_file(path, parameters, [&](const hdf5::Object& file) {
    metadata_detail::write_expert(file, metadata, name);
    fill(file);
  });
}

/// Opens a source's expert. Throws Error when it is of another model, or a value cannot be read.
inline hdf5::Object open_sound_expert(const ExpertSource& source, const Metadata& metadata) {
  auto file = open_expert(expert_file(source.checkpoint, source.domain), metadata, source.domain);
  const auto layout = hdf5::stored_layout(file);
  for (const auto& parameter : layout.parameters()) experts_detail::read_values(file, parameter);
  return file;
}

inline void write_model(const std::filesystem::path& out, const Metadata& metadata, std::uint64_t experts,
                        const std::vector<hdf5::Object>& parts) {
  std::size_t members = 0;
  for (const auto& part : parts) members += hdf5::members(part).size();
  hdf5::write_file(model_file(out), members, [&](const hdf5::Object& file) {
    metadata_detail::write(file, metadata, experts);
    for (const auto& part : parts) copy_parameters(part, file);
  });
}

/// The fullest fingerprint of the vocabulary of a body and of experts. Throws Error unless they all agree.
inline std::string common_vocabulary(const Base& base, const std::vector<ExpertSource>& experts) {
  std::string fingerprint = base.metadata.vocabulary_fingerprint;
  std::set<std::filesystem::path> seen{base.path};
  for (const auto& expert : experts)
    if (const auto path = resolve(expert.checkpoint); seen.insert(path).second) {
      const auto file = hdf5::open_file(model_file(path));
      fingerprint = text::require_same_vocabulary(
          {path.string(), hdf5::read_attribute<std::string>(file, "vocabulary_fingerprint")},
          {base.path.string(), fingerprint});
    }
  return fingerprint;
}

/// checkpoint_detail::write_checkpoint by this process alone.
template <class Write>
void write_checkpoint(const std::filesystem::path& path, const std::vector<std::string>& folders,
                      Write write) {
  device::Cpu device;
  comm::Self self;
  comm::Agreement alone(device, self);
  checkpoint_detail::write_checkpoint(path, folders, alone, write);
}

/// compose, with a further expert `more` whose file write_more(path, metadata) writes, unless its name is
/// empty.
template <class WriteMore>
void compose(const std::filesystem::path& out, const Base& base, const std::vector<ExpertSource>& experts,
             bool with_state, const std::string& more, WriteMore write_more) {
  Metadata metadata = base.metadata;
  metadata.domains.clear();
  for (const auto& expert : experts) metadata.domains.push_back(expert.name);
  if (!more.empty()) metadata.domains.push_back(more);
  require_domain_names(metadata.domains);
  metadata.vocabulary_fingerprint = common_vocabulary(base, experts);
  with_state = with_state && std::filesystem::exists(state_file(base.path));
  std::vector<ExpertSource> states;
  if (with_state)
    std::copy_if(experts.begin(), experts.end(), std::back_inserter(states), [](const auto& expert) {
      return expert.name == expert.domain &&
             std::filesystem::exists(expert_state_file(expert.checkpoint, expert.domain));
    });
  std::vector<std::string> folders{"experts"};
  if (!states.empty()) folders.emplace_back("state");
  write_checkpoint(out, folders, [&](const std::filesystem::path& directory) {
    std::vector<hdf5::Object> parts;
    parts.push_back(base.open_model());
    write_model(directory, metadata, metadata.domains.size(), parts);
    RegionLayout first;
    for (const auto& [checkpoint, domain, name] : experts) {
      const ExpertSource source{resolve(checkpoint), domain, name};
      const auto file = open_sound_expert(source, metadata);
      if (first.parameters().empty()) first = hdf5::stored_layout(file);
      hdf5::require_region(file, first);
      const auto path = expert_file(directory, name);
      if (name == domain)
        write_copy(expert_file(source.checkpoint, domain), path);
      else
        write_expert_file(path, metadata, name, first.parameters().size(),
                          [&](const hdf5::Object& renamed) { copy_parameters(file, renamed); });
    }
    if (!more.empty()) write_more(expert_file(directory, more), metadata);
    if (with_state) write_copy(state_file(base.path), state_file(directory));
    for (const auto& [checkpoint, domain, name] : states)
      write_copy(expert_state_file(checkpoint, domain), expert_state_file(directory, name));
  });
}

inline void compose(const std::filesystem::path& out, const Base& base,
                    const std::vector<ExpertSource>& experts, bool with_state = false) {
  compose(out, base, experts, with_state, "", [](const auto&, const auto&) {});
}

}  // namespace compose_detail

/// Writes the checkpoint `out`: the body of `body` with exactly these experts, in this order. An expert that
/// keeps its name keeps its file byte for byte. with_state: the body's state.h5 and the optimizer's state of
/// every expert that keeps its name go along unchanged and unread; they serve resuming while the list of
/// experts is the one that state.h5 was saved with. Does not ask whether the experts were trained with this
/// body: see require_same_body. Throws Error for experts of another
/// architecture or vocabulary, for damaged files, and when `out` exists or lies in a checkpoint that is read.
inline void compose(const std::filesystem::path& out, const std::filesystem::path& body,
                    const std::vector<ExpertSource>& experts, bool with_state = false) {
  compose_detail::compose(out, compose_detail::Base(body), experts, with_state);
}

/// `checkpoint` with further experts behind its own. Throws Error when a body is another one, or a name is
/// taken; otherwise like compose.
inline void add_experts(const std::filesystem::path& checkpoint, const std::vector<ExpertSource>& added,
                        const std::filesystem::path& out) {
  const compose_detail::Base base(checkpoint);
  auto experts = base.experts;
  Checkpoints others;
  std::set<std::filesystem::path> same_body{base.path};
  std::set<std::string> taken(base.metadata.domains.begin(), base.metadata.domains.end());
  for (const auto& source : added) {
    const Checkpoint& other = others.at(source.checkpoint);
    other.require_experts();
    compose_detail::require_expert(other, source.domain);
    if (same_body.insert(other.path).second) require_same_body(base, other);
    require(taken.insert(source.name).second, checkpoint, ": it has an expert '", source.name,
            "' already; CHECKPOINT:", source.domain, "=NEW adds yours under another name");
    experts.push_back({other.path, source.domain, source.name});
  }
  compose_detail::compose(out, base, experts, true);
}

/// `checkpoint` with other experts in the places of its own of their names. No state goes along: the
/// optimizer's belongs to the experts that were there. Throws UsageError for a name that it does not have or
/// that stands twice, and Error when a body is another one; otherwise like compose.
inline void replace_experts(const std::filesystem::path& checkpoint,
                            const std::vector<ExpertSource>& replacements, const std::filesystem::path& out) {
  const compose_detail::Base base(checkpoint);
  auto experts = base.experts;
  Checkpoints others;
  std::set<std::filesystem::path> same_body{base.path};
  std::vector<std::string> names;
  for (const auto& source : replacements) {
    const Checkpoint& other = others.at(source.checkpoint);
    other.require_experts();
    compose_detail::require_expert(other, source.domain);
    compose_detail::require_expert(base, source.name);
    if (same_body.insert(other.path).second) require_same_body(base, other);
    names.push_back(source.name);
    std::ranges::replace_if(
        experts, [&](const auto& expert) { return expert.name == source.name; },
        ExpertSource{other.path, source.domain, source.name});
  }
  compose_detail::require_distinct(names);
  compose_detail::compose(out, base, experts);
}

/// `checkpoint` without these experts. Throws UsageError for a name that it does not have or that stands
/// twice, and when no expert would be left; otherwise like compose.
inline void remove_experts(const std::filesystem::path& checkpoint, const std::vector<std::string>& names,
                           const std::filesystem::path& out) {
  const compose_detail::Base base(checkpoint);
  auto experts = base.experts;
  compose_detail::require_distinct(names);
  for (const auto& name : names) {
    compose_detail::require_expert(base, name);
    std::erase_if(experts, [&](const auto& expert) { return expert.name == name; });
  }
  if (experts.empty()) throw UsageError(concat(checkpoint.string(), ": a model needs at least one expert"));
  compose_detail::compose(out, base, experts, true);
}

/// `checkpoint` with expert `name` known as `new_name`. Throws like the others.
inline void rename_expert(const std::filesystem::path& checkpoint, const std::string& name,
                          const std::string& new_name, const std::filesystem::path& out) {
  const compose_detail::Base base(checkpoint);
  compose_detail::require_expert(base, name);
  if (name == new_name) throw UsageError(concat("rename: '", name, "' is its name already"));
  require_domain_name<UsageError>(new_name, "rename: ");
  auto experts = base.experts;
  for (auto& expert : experts)
    if (expert.name == name) expert.name = new_name;
  compose_detail::compose(out, base, experts);
}

/// `checkpoint` with a further expert whose parameters are the weighted average of those named, computed in
/// double. The weights are divided by their sum. Throws UsageError for weights that are not positive, and for
/// fewer than two names or one that stands twice; otherwise like compose.
inline void merge_experts(const std::filesystem::path& checkpoint,
                          const std::vector<std::pair<std::string, double>>& weights,
                          const std::string& new_name, const std::filesystem::path& out) {
  const compose_detail::Base base(checkpoint);
  require_domain_name<UsageError>(new_name, "merge: ");
  std::vector<std::string> names;
  double total = 0;
  for (const auto& [name, weight] : weights) {
    compose_detail::require_expert(base, name);
    if (!(weight > 0))
      throw UsageError(
          concat("merge: the weight of '", name, "' is ", weight, ", expected a positive number"));
    names.push_back(name);
    total += weight;
  }
  if (!std::isfinite(total)) throw UsageError(concat("merge: the sum of the weights is ", total));
  if (names.size() < 2) throw UsageError("merge: an average needs two experts or more");
  compose_detail::require_distinct(names);
  const auto write = [&](const std::filesystem::path& path, const Metadata& metadata) {
    std::vector<hdf5::Object> files;
    for (const auto& name : names) files.push_back(base.open_expert(name));
    const auto layout = hdf5::stored_layout(files.front());
    compose_detail::write_expert_file(
        path, metadata, new_name, layout.parameters().size(), [&](const hdf5::Object& file) {
          device::Cpu device;
          for (const auto& parameter : layout.parameters()) {
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
  compose_detail::compose(out, base, base.experts, false, new_name, write);
}

/// The body and one expert as a dense model: the checkpoint `out` of experiment "dense", with one domain.
/// Throws like the others.
inline void extract_expert(const std::filesystem::path& checkpoint, const std::string& name,
                           const std::filesystem::path& out) {
  const compose_detail::Base base(checkpoint);
  compose_detail::require_expert(base, name);
  std::vector<hdf5::Object> parts;
  parts.push_back(base.open_model());
  parts.push_back(base.open_expert(name));
  Metadata metadata = base.metadata;
  metadata.experiment = "dense";
  metadata.domains = {name};
  compose_detail::write_checkpoint(out, {}, [&](const std::filesystem::path& directory) {
    compose_detail::write_model(directory, metadata, 0, parts);
  });
}

}  // namespace demix::checkpoint
