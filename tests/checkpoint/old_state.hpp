#pragma once
// A training state as an older demix wrote it: all in state.h5, by regions within each slot.

#include <string>

#include "checkpoint/fixtures.hpp"

namespace demix::test {

/// Replaces a checkpoint's state. `parts` is the attribute of that name; "" leaves it out, as the oldest did.
template <class T>
void write_old_state(const fs::path& path, const std::string& parts, std::uint64_t step,
                     const std::vector<std::string>& domains, const checkpoint::TrainingState<T>& state) {
  namespace hdf5 = checkpoint::hdf5;
  fs::remove_all(path / "state");
  fs::remove(path / "state.h5");
  device::Cpu device(1);
  hdf5::write_file(path / "state.h5", 3, [&](const hdf5::Object& file) {
    hdf5::write_attribute(file, "format_version", std::uint64_t{1});
    hdf5::write_attribute(file, "demix_version", std::string("0.0"));
    hdf5::write_attribute(file, "step", step);
    if (!parts.empty()) hdf5::write_attribute(file, "parts", parts);
    hdf5::write_text(file, "scalars", state.scalars);
    for (const auto& slot : state.slots) {
      const auto group = hdf5::create_group(file, slot.name, 2);
      const auto experts = hdf5::create_group(group, "experts", domains.size());
      for (const auto& [region, of_region] : slot.parts) {
        const auto place = region.is_shared() ? hdf5::create_group(group, "shared", of_region.size())
                                              : hdf5::create_group(experts, domains[index(region.expert())],
                                                                   of_region.size());
        for (const auto& part : of_region)
          hdf5::write_parameter(device, place, part.parameter, part.numbers, hdf5::NumberType::as_it_is);
      }
    }
  });
}

}  // namespace demix::test
