#pragma once
// What resuming needs besides the weights, to and from a checkpoint's files: state.h5, and a file per expert.

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "demix/checkpoint/dataset.hpp"
#include "demix/checkpoint/metadata.hpp"
#include "demix/comm/placement.hpp"
#include "demix/optim/optimizer.hpp"

namespace demix::checkpoint {

/// What the optimizer keeps, by its slots' names, such as "adam_m", for the parameters that are trained here,
/// and the trainer's scalars as a JSON text. T is the weights' master type.
template <class T>
struct TrainingState {
  /// Rows [first_row, first_row + rows) of a parameter, which has `rows` of them here and stands at
  /// `numbers`, in device memory.
  struct Part {
    ParameterInfo parameter;
    std::size_t first_row;
    T* numbers;
  };
  struct Slot {
    std::string name;
    std::map<RegionId, std::vector<Part>> parts;
  };
  std::vector<Slot> slots;
  std::string scalars;

  std::vector<std::string> slot_names() const {
    std::vector<std::string> names;
    for (const auto& slot : slots) names.push_back(slot.name);
    return names;
  }
  /// The shared region, and the others that have parts.
  std::set<RegionId> regions() const {
    std::set<RegionId> result{RegionId::shared()};
    for (const auto& slot : slots)
      for (const auto& [region, parts] : slot.parts) result.insert(region);
    return result;
  }
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
        slot.parts[region].push_back({parameter, first_row, state.slot(s, i).data() + (begin - first)});
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
      slot.parts[region].push_back({parameter, 0, weights.region(region).data() + parameter.offset});
  return slot;
}

namespace state_detail {

/// The parts that a slot has of a region, none perhaps.
template <class Slot>
auto parts_of(const Slot& slot, RegionId region) {
  const auto found = slot.parts.find(region);
  return found == slot.parts.end() ? typename decltype(slot.parts)::mapped_type() : found->second;
}

/// A group per slot, with a dataset per part that is of the region.
template <device::Device D, class T>
void write_slots(D& device, const hdf5::Object& file, const TrainingState<T>& state, RegionId region) {
  for (const auto& slot : state.slots) {
    const auto parts = parts_of(slot, region);
    const auto group = hdf5::create_group(file, slot.name, parts.size());
    for (const auto& part : parts)
      hdf5::write_parameter(device, group, part.parameter, part.numbers, hdf5::NumberType::as_it_is);
  }
}

/// The shared parameters' state, and the scalars.
template <device::Device D, class T>
void write_shared(D& device, const std::filesystem::path& path, const Metadata& metadata,
                  const TrainingState<T>& state) {
  hdf5::write_file(path, 1 + state.slots.size(), [&](const hdf5::Object& file) {
    metadata_detail::write_version(file);
    hdf5::write_attribute(file, "step", metadata.step);
    hdf5::write_attribute(file, "parts", std::string("shared"));
    hdf5::write_text(file, "scalars", state.scalars);
    write_slots(device, file, state, RegionId::shared());
  });
}

template <device::Device D, class T>
void write_expert(D& device, const std::filesystem::path& path, const Metadata& metadata, ExpertId expert,
                  const TrainingState<T>& state) {
  hdf5::write_file(path, state.slots.size(), [&](const hdf5::Object& file) {
    metadata_detail::write_version(file);
    hdf5::write_attribute(file, "step", metadata.step);
    hdf5::write_attribute(file, "domain", metadata.domains[index(expert)]);
    write_slots(device, file, state, expert);
  });
}

/// A file in `folder` for each expert with a state that this rank speaks for.
template <device::Device D, class T>
void write_experts(D& device, const std::filesystem::path& folder, const Metadata& metadata,
                   const TrainingState<T>& state, const comm::Placement& placement) {
  for (const RegionId region : state.regions())
    if (!region.is_shared() && placement.speaks_for(region))
      write_expert(device, folder / (metadata.domains[index(region.expert())] + ".h5"), metadata,
                   region.expert(), state);
}

}  // namespace state_detail

/// The training state of a checkpoint, opened: state.h5 once, and the files of experts as they are loaded. A
/// state of an older demix is all in state.h5, by regions within each slot.
class SavedState {
 public:
  /// Throws Error when there is none, or one of another step.
  explicit SavedState(const Checkpoint& checkpoint)
      : checkpoint_(checkpoint), file_(open(state_file(checkpoint.path))) {
    // Before there was this attribute, every parameter had a state, whether it was trained or not.
    const bool names_parts = hdf5::has_attribute(file_, "parts");
    const auto parts = names_parts ? hdf5::read_attribute<std::string>(file_, "parts") : "all";
    require(!names_parts || parts == "trained" || parts == "shared", file_.name, ": attribute 'parts' is '",
            parts, "', expected 'shared' or 'trained'");
    in_one_file_ = parts != "shared";
    has_all_ = !names_parts;
  }

  std::string scalars() const { return hdf5::read_text(file_, "scalars"); }

  /// Fills the parts of `state`, which must be those that were saved: all of those of a region that it has
  /// parts of. Reads nothing of other regions. `domains` are those of the state's experts, each one of the
  /// checkpoint's; without them, the checkpoint's. Throws Error when the state is damaged or of another
  /// model.
  template <device::Device D, class T>
  void load(D& device, TrainingState<T>& state) const {
    load(device, state, checkpoint_.metadata.domains);
  }
  template <device::Device D, class T>
  void load(D& device, TrainingState<T>& state, const std::vector<std::string>& domains) const {
    auto members = state.slot_names();
    const auto slots = members;
    members.push_back("scalars");
    hdf5::require_members(file_, members);
    for (const RegionId region : state.regions()) {
      const std::string domain = region.is_shared() ? "" : domains.at(index(region.expert()));
      if (region.is_shared() || in_one_file_) {
        for (const auto& slot : state.slots) load_slot(device, file_, region, domain, slot);
        continue;
      }
      const auto file = open(expert_state_file(checkpoint_.path, domain));
      const auto found = hdf5::read_attribute<std::string>(file, "domain");
      require(found == domain, file.name, ": the state of domain '", found, "', expected '", domain, "'");
      hdf5::require_members(file, slots);
      for (const auto& slot : state.slots) load_slot(device, file, region, domain, slot);
    }
  }

 private:
  hdf5::Object open(const std::filesystem::path& path) const {
    require(
        std::filesystem::is_regular_file(path), "cannot resume from ", checkpoint_.path, ": it has no ",
        [&] { return path.lexically_relative(checkpoint_.path).string(); },
        "; it can be evaluated, and a new run can start from it");
    auto file = hdf5::open_file(path);
    metadata_detail::require_version(file);
    const auto found = hdf5::read_attribute<std::uint64_t>(file, "step");
    require(found == checkpoint_.metadata.step, path, ": the state of step ", found,
            ", but the model is of step ", checkpoint_.metadata.step);
    return file;
  }

  /// A region's part of a slot in the one file that older states are.
  static hdf5::Object open_region(const hdf5::Object& slot, RegionId region, const std::string& domain) {
    if (region.is_shared()) return hdf5::open_group(slot, "shared");
    return hdf5::open_group(hdf5::open_group(slot, "experts"), domain);
  }

  template <device::Device D, class Slot>
  void load_slot(D& device, const hdf5::Object& file, RegionId region, const std::string& domain,
                 const Slot& slot) const {
    const auto parts = state_detail::parts_of(slot, region);
    if (parts.empty()) return;
    auto of_slot = hdf5::open_group(file, slot.name);
    const auto group = in_one_file_ ? open_region(of_slot, region, domain) : std::move(of_slot);
    std::vector<std::string> names;
    for (const auto& part : parts) names.push_back(part.parameter.name);
    if (!has_all_) hdf5::require_members(group, names);
    for (const auto& part : parts)
      hdf5::read_rows(device, group, part.parameter, part.first_row, part.numbers,
                      hdf5::NumberType::as_it_is);
  }

  Checkpoint checkpoint_;
  hdf5::Object file_;
  bool in_one_file_, has_all_;
};

}  // namespace demix::checkpoint
