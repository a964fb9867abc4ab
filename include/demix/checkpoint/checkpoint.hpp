#pragma once
// Models and training states to and from checkpoints. docs/checkpoint.md describes the files.

#include <filesystem>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "demix/checkpoint/dataset.hpp"
#include "demix/checkpoint/metadata.hpp"
#include "demix/checkpoint/place.hpp"
#include "demix/core/partial_folder.hpp"

namespace demix::checkpoint {

/// What resuming needs besides the values: named moments of the optimizer in the model's layout, such as
/// {"adam_m", m}, and the trainer's scalars as a JSON text.
template <class Model>
struct TrainingState {
  std::vector<std::pair<std::string, typename Model::Arena*>> moments;
  std::string scalars;
};

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
  require(metadata.config.describe() == config.describe() && metadata.domains == model.domains(),
          "checkpoint: the metadata are not the model's: ", metadata.config.describe(), " against ",
          config.describe());
}

template <class Model>
void write_state(const hdf5::Object& file, const Metadata& metadata, Model& model,
                 const TrainingState<Model>& state) {
  metadata_detail::write_version(file);
  hdf5::write_attribute(file, "step", metadata.step);
  hdf5::write_text(file, "scalars", state.scalars);
  for (const auto& [name, arena] : state.moments) {
    const auto group = hdf5::create_group(file, name, 2);
    const auto write = [&](const hdf5::Object& parent, const std::string& part, const RegionLayout& layout,
                           std::span<const typename Model::Arena::value_type> region) {
      hdf5::write_region(model.device(), hdf5::create_group(parent, part, layout.parameters().size()), layout,
                         region);
    };
    write(group, "shared", model.layout().shared, arena->region(0));
    if constexpr (Model::has_experts) {
      const auto experts = hdf5::create_group(group, "experts", metadata.domains.size());
      for (std::size_t d = 0; d < metadata.domains.size(); ++d)
        write(experts, metadata.domains[d], model.layout().expert, arena->region(1 + d));
    }
  }
}

template <class Model>
void write_state_file(const std::filesystem::path& path, const Metadata& metadata, Model& model,
                      const TrainingState<Model>& state) {
  write_file(path, 1 + state.moments.size(),
             [&](const hdf5::Object& file) { write_state(file, metadata, model, state); });
}

inline void make_directory(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::create_directory(path, code);
  durable::check(code, path, "create this directory");
}

template <class Model>
void write_directory(const std::filesystem::path& directory, const Metadata& metadata, Model& model,
                     const TrainingState<Model>* state) {
  const auto& values = std::as_const(model).values();
  write_file(model_file(directory), model.layout().shared.parameters().size(), [&](const hdf5::Object& file) {
    metadata_detail::write(file, metadata, Model::has_experts ? metadata.domains.size() : 0);
    hdf5::write_region(model.device(), file, model.layout().shared, values.region(0));
  });
  if constexpr (Model::has_experts) {
    make_directory(directory / "experts");
    for (std::size_t d = 0; d < metadata.domains.size(); ++d)
      write_file(expert_file(directory, metadata.domains[d]), model.layout().expert.parameters().size(),
                 [&](const hdf5::Object& file) {
                   metadata_detail::write_expert(file, metadata, metadata.domains[d]);
                   hdf5::write_region(model.device(), file, model.layout().expert, values.region(1 + d));
                 });
    durable::sync(directory / "experts");
  }
  if (state) write_state_file(state_file(directory), metadata, model, *state);
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
          const TrainingState<std::type_identity_t<Model>>* state = nullptr) {
  checkpoint_detail::require_matching(metadata, model);
  checkpoint_detail::write_checkpoint(path, [&](const std::filesystem::path& directory) {
    checkpoint_detail::write_directory(directory, metadata, model, state);
  });
}

/// Replaces the state of a checkpoint that `save` wrote, in one rename. Throws Error when writing fails; the
/// checkpoint is then as it was.
template <class Model>
void replace_state(const std::filesystem::path& checkpoint, const Metadata& metadata, Model& model,
                   const TrainingState<Model>& state) {
  const auto path = state_file(checkpoint), partial = durable::partial(path);
  try {
    durable::remove_all(partial);
    checkpoint_detail::write_state_file(partial, metadata, model, state);
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
  require(metadata.config.describe() == expected.describe(), path.string(), ": the checkpoint's model is\n  ",
          metadata.config.describe(), "\nbut expected was\n  ", expected.describe());
  if (model.config().vocabulary > model.dictionary_size())
    require(metadata.domains == model.domains(), path.string(),
            ": its domains are not the model's, or in another order; each has a token of its own");

  const auto file = hdf5::open_file(path);
  const auto experts = hdf5::read_attribute<std::uint64_t>(file, "experts");
  require((experts > 0) == Model::has_experts, path.string(), ": a model ", experts ? "with" : "without",
          " experts, expected one ", experts ? "without" : "with", " (experiment '", metadata.experiment,
          "')");
  hdf5::read_region(model.device(), file, model.layout().shared, model.values().region(0));
}

/// Reads every parameter: the shared ones, and of a model with experts each domain's from its file; the
/// model may have fewer domains than the checkpoint, or another order. `metadata` are the checkpoint's.
/// Throws Error like load_shared.
template <class Model>
void load_values(const std::filesystem::path& checkpoint, const Metadata& metadata, Model& model) {
  load_shared(checkpoint, metadata, model);
  if constexpr (Model::has_experts)
    for (std::size_t d = 0; d < model.domains().size(); ++d) {
      const auto& domain = model.domains()[d];
      hdf5::read_region(model.device(), open_expert(expert_file(checkpoint, domain), metadata, domain),
                        model.layout().expert, model.values().region(1 + d));
    }
}

template <class Model>
void load_values(const std::filesystem::path& checkpoint, Model& model) {
  load_values(checkpoint, read_metadata(checkpoint), model);
}

/// Fills the state's moments, which must be those that were saved, and returns the scalars. Throws Error when
/// the checkpoint has no state, or one that is damaged or of another model or step.
template <class Model>
std::string load_state(const std::filesystem::path& checkpoint, Model& model, TrainingState<Model>& state) {
  const auto path = state_file(checkpoint);
  require(std::filesystem::is_regular_file(path), "cannot resume from ", checkpoint.string(),
          ": it has no state.h5; it can be evaluated, and a new run can start from it");
  const auto step = hdf5::read_attribute<std::uint64_t>(hdf5::open_file(model_file(checkpoint)), "step");
  const auto file = hdf5::open_file(path);
  metadata_detail::require_version(file);
  const auto found = hdf5::read_attribute<std::uint64_t>(file, "step");
  require(found == step, path.string(), ": the state of step ", found, ", but the model is of step ", step);
  std::vector<std::string> names{"scalars"};
  for (const auto& [name, arena] : state.moments) names.push_back(name);
  hdf5::require_members(file, names);
  for (const auto& [name, arena] : state.moments) {
    const auto group = hdf5::open_group(file, name);
    hdf5::require_members(group, Model::has_experts ? std::vector<std::string>{"shared", "experts"}
                                                    : std::vector<std::string>{"shared"});
    hdf5::read_region(model.device(), hdf5::open_group(group, "shared"), model.layout().shared,
                      arena->region(0));
    if constexpr (Model::has_experts) {
      const auto experts = hdf5::open_group(group, "experts");
      hdf5::require_members(experts, model.domains());
      for (std::size_t d = 0; d < model.domains().size(); ++d)
        hdf5::read_region(model.device(), hdf5::open_group(experts, model.domains()[d]),
                          model.layout().expert, arena->region(1 + d));
    }
  }
  return hdf5::read_text(file, "scalars");
}

}  // namespace demix::checkpoint
