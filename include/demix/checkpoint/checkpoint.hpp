#pragma once
// Models to and from checkpoints. docs/checkpoint.md describes the files.

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "demix/checkpoint/place.hpp"
#include "demix/checkpoint/training_state.hpp"
#include "demix/comm/agreement.hpp"
#include "demix/comm/placement.hpp"
#include "demix/comm/self.hpp"
#include "demix/core/partial_folder.hpp"

namespace demix::checkpoint {

namespace checkpoint_detail {

template <class Model>
using StateOf =
    TrainingState<typename std::decay_t<decltype(std::declval<Model&>().weights().master())>::value_type>;

template <class Model>
void require_matching(const Metadata& metadata, const Model& model) {
  require_domain_names(metadata.domains);
  const ModelConfig config = model.dictionary_config();
  require(
      metadata.config.describe() == config.describe() && metadata.domains == model.domains(),
      "checkpoint: the metadata are not the model's: ", [&] { return metadata.config.describe(); },
      " against ", [&] { return config.describe(); });
}

/// Throws Error on all ranks unless each region of the model has one rank that writes it. Collective.
template <class Model, class Ranks>
void require_one_writer_each(Model& model, Ranks& ranks, const comm::Placement& placement) {
  const auto& weights = model.weights();
  std::vector<double> writers(1 + weights.held().all(), 0.0);
  for (const RegionId region : weights.regions())
    if (placement.speaks_for(region)) ++writers[region.is_shared() ? 0 : 1 + index(region.expert())];
  ranks.sum(writers);
  for (std::size_t r = 0; r < writers.size(); ++r)
    require(
        writers[r] == 1, "checkpoint: ",
        [&] {
          return r == 0 ? std::string("the shared parameters")
                        : "the expert of domain '" + model.domains()[r - 1] + "'";
        },
        " would be written by ", writers[r], " ranks, expected one");
}

inline void make_directory(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::create_directory(path, code);
  durable::check(code, path, "create this directory");
}

/// The directory `path` with these folders in it, filled by write(directory) on every rank, which appears
/// complete and on the disk, or not at all. Collective. Throws Error on all ranks when something has that
/// name already, when it lies in a checkpoint, when another process is writing it, or when writing fails
/// anywhere, then without a trace.
template <class Ranks, class Write>
void write_checkpoint(const std::filesystem::path& path, const std::vector<std::string>& folders,
                      Ranks& ranks, Write write) {
  const auto name = path.has_filename() ? path : path.parent_path();
  const auto content = durable::PartialFolder::content_of(name);
  std::optional<durable::PartialFolder> partial;
  ranks.together([&] {
    if (!ranks.is_first()) return;
    require_outside_checkpoints(durable::parent(name));
    partial.emplace(name);
    for (const auto& folder : folders) make_directory(content / folder);
  });
  ranks.together([&] { write(content); });
  ranks.together([&] {
    if (!ranks.is_first()) return;
    for (const auto& folder : folders) durable::sync(content / folder);
    partial->publish();
  });
}

/// What this rank speaks for: model.h5, the experts' files, and the state's.
template <class Model>
void write_share(const std::filesystem::path& directory, const Metadata& metadata, Model& model,
                 const StateOf<Model>* state, const comm::Placement& placement) {
  auto& device = model.device();
  const auto& weights = std::as_const(model.weights().master());
  const ParameterLayout& layout = model.layout();
  for (const RegionId region : weights.regions()) {
    if (!placement.speaks_for(region)) continue;
    const auto values = weights.region(region);
    if (region.is_shared()) {
      const std::size_t experts = layout.expert.size() > 0 ? metadata.domains.size() : 0;
      hdf5::write_file(model_file(directory), layout.shared.parameters().size(),
                       [&](const hdf5::Object& file) {
                         metadata_detail::write(file, metadata, experts);
                         hdf5::write_region(device, file, layout.shared, values);
                       });
      if (state) state_detail::write_shared(device, state_file(directory), metadata, *state);
    } else {
      const auto& domain = metadata.domains[index(region.expert())];
      hdf5::write_file(expert_file(directory, domain), layout.expert.parameters().size(),
                       [&](const hdf5::Object& file) {
                         metadata_detail::write_expert(file, metadata, domain);
                         hdf5::write_region(device, file, layout.expert, values);
                       });
    }
  }
  if (state) state_detail::write_experts(device, state_folder(directory), metadata, *state, placement);
}

}  // namespace checkpoint_detail

/// Writes the model, and with `state` what resuming needs, as the directory `path`, which appears complete
/// and on the disk, or not at all: a killed process leaves at most a hidden ".NAME.partial" beside it, which
/// the next save of the same name replaces. Each rank writes what it speaks for into the one folder, which
/// all of them must see. float32, so an Fp64 model's numbers are rounded. Collective. Throws Error, on all
/// ranks, when something has that name already, when `path` lies in a checkpoint, when another process is
/// writing it, when no rank or more than one has a region to write, or when writing fails on any rank, then
/// without a trace.
template <class Model, device::Device D, comm::Communicator Comm>
void save(const std::filesystem::path& path, const Metadata& metadata, Model& model,
          const checkpoint_detail::StateOf<Model>* state, comm::Agreement<D, Comm>& ranks,
          const comm::Placement& placement) {
  ranks.together([&] { checkpoint_detail::require_matching(metadata, model); });
  checkpoint_detail::require_one_writer_each(model, ranks, placement);
  std::vector<std::string> folders;
  if (model.layout().expert.size() > 0) folders.emplace_back("experts");
  if (model.layout().expert.size() > 0 && state) folders.emplace_back("state");
  checkpoint_detail::write_checkpoint(path, folders, ranks, [&](const std::filesystem::path& directory) {
    checkpoint_detail::write_share(directory, metadata, model, state, placement);
  });
}

/// The same for one process that holds the whole model.
template <class Model>
void save(const std::filesystem::path& path, const Metadata& metadata, Model& model,
          const checkpoint_detail::StateOf<Model>* state = nullptr) {
  comm::Self self;
  comm::Agreement alone(model.device(), self);
  save(path, metadata, model, state, alone, comm::Placement::whole(metadata.domains.size()));
}

/// Replaces the scalars of a checkpoint's state; all else in `state` is as it was saved. state.h5 changes in
/// one rename; a state that is all in it, as an older demix wrote it, is divided first. Collective. Throws
/// Error on all ranks when writing fails; the checkpoint is then as it was.
template <device::Device D, class T, comm::Communicator Comm>
void replace_scalars(D& device, const std::filesystem::path& checkpoint, const Metadata& metadata,
                     const TrainingState<T>& state, comm::Agreement<D, Comm>& ranks,
                     const comm::Placement& placement) {
  const auto file = state_file(checkpoint), new_file = durable::partial(file);
  const auto folder = state_folder(checkpoint), new_folder = durable::partial(folder);
  std::array<double, 1> of_experts{static_cast<double>(state.regions().size() - 1)};
  ranks.sum(of_experts);
  const auto is_whole =
      ranks.said_by_first([&] { return std::filesystem::exists(folder) ? "" : "in one file"; });
  const bool divides = of_experts[0] > 0 && !is_whole.empty();
  try {
    if (divides) {
      ranks.together([&] {
        if (!ranks.is_first()) return;
        durable::remove_all(new_folder);
        checkpoint_detail::make_directory(new_folder);
      });
      ranks.together([&] { state_detail::write_experts(device, new_folder, metadata, state, placement); });
    }
    ranks.together([&] {
      if (!ranks.is_first()) return;
      durable::remove_all(new_file);
      state_detail::write_shared(device, new_file, metadata, state);
      if (divides) {
        durable::sync(new_folder);
        durable::rename(new_folder, folder);
      }
      durable::rename(new_file, file);
    });
  } catch (...) {
    std::error_code ignored;
    if (ranks.is_first())
      for (const auto& partial : {new_file, new_folder}) std::filesystem::remove_all(partial, ignored);
    throw;
  }
}

/// Reads the shared parameters. Throws Error unless architecture, names and shapes are the model's and every
/// checksum is right; the model's values are then undefined.
template <class Model>
void load_shared(const Checkpoint& from, Model& model) {
  const Metadata& metadata = from.metadata;
  const auto name = model_file(from.path).string();
  ModelConfig expected = model.dictionary_config();
  // These two may change from run to run; a learned table of positions is checked by its shape.
  expected.dropout = metadata.config.dropout;
  expected.tokens_per_sample = metadata.config.tokens_per_sample;
  require(
      metadata.config.describe() == expected.describe(), name, ": the checkpoint's model is\n  ",
      [&] { return metadata.config.describe(); }, "\nbut expected was\n  ",
      [&] { return expected.describe(); });
  if (model.config().vocabulary > expected.vocabulary)
    require(metadata.domains == model.domains(), name,
            ": its domains are not the model's, or in another order; each has a token of its own");
  require(from.has_experts == (model.layout().expert.size() > 0), name, ": a model ",
          from.has_experts ? "with" : "without", " experts, expected one ",
          from.has_experts ? "without" : "with", " (experiment '", metadata.experiment, "')");
  const auto file = from.open_model();
  model.weights().assign(RegionId::shared(), [&](auto values) {
    hdf5::read_region(model.device(), file, model.layout().shared, values);
  });
}

/// Reads the expert of `domain` into the model's expert region `slot`. Throws Error when there is none, and
/// like load_values.
template <class Model>
void load_expert(const Checkpoint& from, const std::string& domain, Model& model, ExpertId slot) {
  from.require_experts();
  const auto file = from.open_expert(domain);
  model.weights().assign(
      slot, [&](auto values) { hdf5::read_region(model.device(), file, model.layout().expert, values); });
}

/// Reads every parameter that the model holds: the shared ones, and of a model with experts each domain's
/// from its file; the model may have fewer domains than the checkpoint, or another order. Opens model.h5 and
/// the file of each held expert once. Throws Error like load_shared.
template <class Model>
void load_values(const Checkpoint& from, Model& model) {
  load_shared(from, model);
  for (const ExpertId expert : model.weights().held().list())
    load_expert(from, model.domains()[index(expert)], model, expert);
}

template <class Model>
void load_values(const std::filesystem::path& path, Model& model) {
  load_values(Checkpoint(path), model);
}

}  // namespace demix::checkpoint
