#pragma once
// Models and training states to and from checkpoints. docs/checkpoint.md describes the files.

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "demix/checkpoint/dataset.hpp"
#include "demix/checkpoint/metadata.hpp"
#include "demix/checkpoint/place.hpp"
#include "demix/core/partial_folder.hpp"
#include "demix/optim/optimizer.hpp"

namespace demix::checkpoint {

/// What resuming needs besides the weights: what the optimizer keeps, by its slots' names, such as "adam_m",
/// for the parameters that are trained, and the trainer's scalars as a JSON text. T is the weights' master
/// type.
template <class T>
struct TrainingState {
  /// Rows [first_row, first_row + rows) of a parameter, which has `rows` of them here and stands at
  /// `numbers`, in device memory.
  struct Part {
    RegionId region;
    ParameterInfo parameter;
    std::size_t first_row;
    T* numbers;
  };
  struct Slot {
    std::string name;
    std::vector<Part> parts;
  };
  std::vector<Slot> slots;
  std::string scalars;
};

/// The parts of an optimizer's state, by the parameters of the layout. The optimizer's state must outlive the
/// result.
template <device::Device D, Precision P, class O>
TrainingState<master_t<P>> state_of(const ParameterLayout& layout, optim::OptimizerState<D, P, O>& state) {
  TrainingState<master_t<P>> result;
  for (std::size_t s = 0; s < O::slot_names.size(); ++s) {
    auto& slot = result.slots.emplace_back();
    slot.name = std::string(O::slot_names[s]);
    for (std::size_t i = 0; i < state.trained().size(); ++i) {
      const auto& [region, first, count] = state.trained()[i];
      for (ParameterInfo parameter : region.layout(layout).parameters()) {
        const std::size_t begin = std::max(first, parameter.offset),
                          end = std::min(first + count, parameter.offset + parameter.size());
        if (begin >= end) continue;
        const std::size_t first_row = (begin - parameter.offset) / parameter.cols;
        parameter.rows = (end - begin) / parameter.cols;
        slot.parts.push_back({region, parameter, first_row, state.slot(s, i).data() + (begin - first)});
      }
    }
  }
  return result;
}

/// The weights as one more slot, in their own type.
template <device::Device D, class T>
typename TrainingState<T>::Slot weights_of(const ParameterLayout& layout, ParameterArena<D, T>& weights) {
  typename TrainingState<T>::Slot slot{"weights", {}};
  for (const RegionId region : weights.regions())
    for (const auto& parameter : region.layout(layout).parameters())
      slot.parts.push_back({region, parameter, 0, weights.region(region).data() + parameter.offset});
  return slot;
}

namespace checkpoint_detail {

/// Writes one file of about so many members with `fill(file)` and returns when it is on the disk.
template <class Fill>
void write_file(const std::filesystem::path& path, std::size_t members, Fill fill) {
  auto file = hdf5::create_file(path, members);
  fill(file);
  file.handle.close(path.string(), ": cannot be completed");
  durable::sync(path);
}

template <class Model>
void require_matching(const Metadata& metadata, const Model& model) {
  require_domain_names(metadata.domains);
  const ModelConfig config = model.dictionary_config();
  require(
      metadata.config.describe() == config.describe() && metadata.domains == model.domains(),
      "checkpoint: the metadata are not the model's: ", [&] { return metadata.config.describe(); },
      " against ", [&] { return config.describe(); });
}

template <device::Device D, class T>
void write_state(D& device, const hdf5::Object& file, const Metadata& metadata,
                 const TrainingState<T>& state) {
  metadata_detail::write_version(file);
  hdf5::write_attribute(file, "step", metadata.step);
  hdf5::write_attribute(file, "parts", std::string("trained"));
  hdf5::write_text(file, "scalars", state.scalars);
  for (const auto& [name, parts] : state.slots) {
    const auto slot = hdf5::create_group(file, name, 2);
    std::optional<hdf5::Object> experts;
    for (std::size_t i = 0; i < parts.size();) {
      const RegionId region = parts[i].region;
      if (!region.is_shared() && !experts)
        experts.emplace(hdf5::create_group(slot, "experts", metadata.domains.size()));
      const auto group =
          region.is_shared()
              ? hdf5::create_group(slot, "shared", parts.size())
              : hdf5::create_group(*experts, metadata.domains[index(region.expert())], parts.size());
      for (; i < parts.size() && parts[i].region == region; ++i)
        hdf5::write_parameter(device, group, parts[i].parameter, parts[i].numbers,
                              hdf5::NumberType::as_it_is);
    }
  }
}

template <device::Device D, class T>
void write_state_file(D& device, const std::filesystem::path& path, const Metadata& metadata,
                      const TrainingState<T>& state) {
  write_file(path, 1 + state.slots.size(),
             [&](const hdf5::Object& file) { write_state(device, file, metadata, state); });
}

inline void make_directory(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::create_directory(path, code);
  durable::check(code, path, "create this directory");
}

template <class Model, class T>
void write_directory(const std::filesystem::path& directory, const Metadata& metadata, Model& model,
                     const TrainingState<T>* state) {
  auto& device = model.device();
  const auto& weights = std::as_const(model.weights().master());
  const ParameterLayout& layout = model.layout();
  const bool has_experts = layout.expert.size() > 0;
  write_file(model_file(directory), layout.shared.parameters().size(), [&](const hdf5::Object& file) {
    metadata_detail::write(file, metadata, has_experts ? metadata.domains.size() : 0);
    hdf5::write_region(device, file, layout.shared, weights.region(RegionId::shared()));
  });
  if (has_experts) {
    make_directory(directory / "experts");
    for (const ExpertId expert : weights.held().list()) {
      const auto& domain = metadata.domains[index(expert)];
      write_file(expert_file(directory, domain), layout.expert.parameters().size(),
                 [&](const hdf5::Object& file) {
                   metadata_detail::write_expert(file, metadata, domain);
                   hdf5::write_region(device, file, layout.expert, weights.region(expert));
                 });
    }
    durable::sync(directory / "experts");
  }
  if (state) write_state_file(device, state_file(directory), metadata, *state);
}

/// Reads the parts of a slot; where `exact`, nothing else may be there.
template <device::Device D, class T>
void read_slot(D& device, const hdf5::Object& file, const Metadata& metadata, bool exact,
               typename TrainingState<T>::Slot& slot) {
  const auto group = hdf5::open_group(file, slot.name);
  const auto of_region = [&](RegionId region) {
    return region.is_shared() ? hdf5::open_group(group, "shared")
                              : hdf5::open_group(hdf5::open_group(group, "experts"),
                                                 metadata.domains[index(region.expert())]);
  };
  if (exact) {
    std::set<std::string> regions, experts;
    for (const auto& part : slot.parts) {
      regions.insert(part.region.is_shared() ? "shared" : "experts");
      if (!part.region.is_shared()) experts.insert(metadata.domains[index(part.region.expert())]);
    }
    hdf5::require_members(group, {regions.begin(), regions.end()});
    if (!experts.empty())
      hdf5::require_members(hdf5::open_group(group, "experts"), {experts.begin(), experts.end()});
  }
  for (std::size_t i = 0; i < slot.parts.size();) {
    const RegionId region = slot.parts[i].region;
    const auto parent = of_region(region);
    std::vector<std::string> names;
    for (std::size_t k = i; k < slot.parts.size() && slot.parts[k].region == region; ++k)
      names.push_back(slot.parts[k].parameter.name);
    if (exact) hdf5::require_members(parent, names);
    for (std::size_t k = 0; k < names.size(); ++k, ++i)
      hdf5::read_rows(device, parent, slot.parts[i].parameter, slot.parts[i].first_row, slot.parts[i].numbers,
                      hdf5::NumberType::as_it_is);
  }
}

/// The directory `path`, filled by write(directory), which appears complete and on the disk, or not at all.
/// Throws Error when something has that name already, when it lies in a checkpoint, when another process is
/// writing it, or when writing fails, then without a trace.
template <class Write>
void write_checkpoint(const std::filesystem::path& path, Write write) {
  const auto name = path.has_filename() ? path : path.parent_path();
  require_outside_checkpoints(durable::parent(name));
  durable::PartialFolder partial(name);
  write(partial.content());
  partial.publish();
}

}  // namespace checkpoint_detail

/// Writes the model, and with `state` what resuming needs, as the directory `path`, which appears complete
/// and on the disk, or not at all: a killed process leaves at most a hidden ".NAME.partial" beside it, which
/// the next save of the same name replaces. float32, so an Fp64 model's numbers are rounded. Throws Error
/// when something has that name already, when `path` lies in a checkpoint, when another process is writing
/// it, or when writing fails, then without a trace.
template <class Model>
void save(const std::filesystem::path& path, const Metadata& metadata, Model& model,
          const TrainingState<typename std::decay_t<decltype(model.weights().master())>::value_type>* state =
              nullptr) {
  checkpoint_detail::require_matching(metadata, model);
  checkpoint_detail::write_checkpoint(path, [&](const std::filesystem::path& directory) {
    checkpoint_detail::write_directory(directory, metadata, model, state);
  });
}

/// Replaces the state of a checkpoint that `save` wrote, in one rename. Throws Error when writing fails; the
/// checkpoint is then as it was.
template <device::Device D, class T>
void replace_state(D& device, const std::filesystem::path& checkpoint, const Metadata& metadata,
                   const TrainingState<T>& state) {
  const auto path = state_file(checkpoint), partial = durable::partial(path);
  try {
    durable::remove_all(partial);
    checkpoint_detail::write_state_file(device, partial, metadata, state);
    durable::rename(partial, path);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(partial, ignored);
    throw;
  }
}

/// Reads the shared parameters. `metadata` are the checkpoint's. Throws Error unless architecture, names and
/// shapes are the model's and every checksum is right; the model's values are then undefined.
template <class Model>
void load_shared(const std::filesystem::path& checkpoint, const Metadata& metadata, Model& model) {
  const auto path = model_file(checkpoint);
  ModelConfig expected = model.dictionary_config();
  // These two may change from run to run; a learned table of positions is checked by its shape.
  expected.dropout = metadata.config.dropout;
  expected.tokens_per_sample = metadata.config.tokens_per_sample;
  require(
      metadata.config.describe() == expected.describe(), path, ": the checkpoint's model is\n  ",
      [&] { return metadata.config.describe(); }, "\nbut expected was\n  ",
      [&] { return expected.describe(); });
  if (model.config().vocabulary > expected.vocabulary)
    require(metadata.domains == model.domains(), path,
            ": its domains are not the model's, or in another order; each has a token of its own");

  const auto file = hdf5::open_file(path);
  const auto experts = hdf5::read_attribute<std::uint64_t>(file, "experts");
  require((experts > 0) == (model.layout().expert.size() > 0), path, ": a model ",
          experts ? "with" : "without", " experts, expected one ", experts ? "without" : "with",
          " (experiment '", metadata.experiment, "')");
  model.weights().assign(RegionId::shared(), [&](auto values) {
    hdf5::read_region(model.device(), file, model.layout().shared, values);
  });
}

/// Reads every parameter: the shared ones, and of a model with experts each domain's from its file; the
/// model may have fewer domains than the checkpoint, or another order. `metadata` are the checkpoint's.
/// Throws Error like load_shared.
template <class Model>
void load_values(const std::filesystem::path& checkpoint, const Metadata& metadata, Model& model) {
  load_shared(checkpoint, metadata, model);
  if (model.layout().expert.size() == 0) return;
  for (const ExpertId expert : model.weights().held().list()) {
    const auto& domain = model.domains()[index(expert)];
    const auto file = open_expert(expert_file(checkpoint, domain), metadata, domain);
    model.weights().assign(
        expert, [&](auto values) { hdf5::read_region(model.device(), file, model.layout().expert, values); });
  }
}

template <class Model>
void load_values(const std::filesystem::path& checkpoint, Model& model) {
  load_values(checkpoint, read_metadata(checkpoint), model);
}

/// The file of a checkpoint's training state. Throws Error when there is none, or one of another step.
inline hdf5::Object open_state(const std::filesystem::path& checkpoint, const Metadata& metadata) {
  const auto path = state_file(checkpoint);
  require(std::filesystem::is_regular_file(path), "cannot resume from ", checkpoint,
          ": it has no state.h5; it can be evaluated, and a new run can start from it");
  auto file = hdf5::open_file(path);
  metadata_detail::require_version(file);
  const auto found = hdf5::read_attribute<std::uint64_t>(file, "step");
  require(found == metadata.step, path, ": the state of step ", found, ", but the model is of step ",
          metadata.step);
  return file;
}

/// The scalars of a checkpoint's training state. Throws Error like open_state.
inline std::string read_scalars(const std::filesystem::path& checkpoint, const Metadata& metadata) {
  return hdf5::read_text(open_state(checkpoint, metadata), "scalars");
}

/// Fills the state's parts, which must be those that were saved. Throws Error like open_state, and when the
/// state is damaged or of another model.
template <device::Device D, class T>
void load_state(D& device, const std::filesystem::path& checkpoint, const Metadata& metadata,
                TrainingState<T>& state) {
  const auto file = open_state(checkpoint, metadata);
  // Older files have every parameter, whether it is trained or not.
  const bool exact = hdf5::has_attribute(file, "parts");
  std::vector<std::string> names{"scalars"};
  for (const auto& slot : state.slots) names.push_back(slot.name);
  hdf5::require_members(file, names);
  for (auto& slot : state.slots) checkpoint_detail::read_slot<D, T>(device, file, metadata, exact, slot);
}

}  // namespace demix::checkpoint
