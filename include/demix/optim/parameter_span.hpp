#pragma once
// Which parameters are trained: stretches of an arena's regions. Everything else keeps its bits.

#include <cstddef>
#include <vector>

#include "demix/model/parameter_arena.hpp"

namespace demix::optim {

/// Numbers [first, first + count) of a region.
struct ParameterSpan {
  RegionId region;
  std::size_t first, count;

  friend bool operator==(const ParameterSpan&, const ParameterSpan&) = default;
};

/// Every parameter held here: one span per region.
template <device::Device D, class T>
std::vector<ParameterSpan> whole_regions(const ParameterArena<D, T>& arena) {
  std::vector<ParameterSpan> spans;
  for (const RegionId r : arena.regions()) spans.push_back({r, 0, arena.region(r).size()});
  return spans;
}

/// Every parameter of the experts held here: one span per expert.
template <device::Device D, class T>
std::vector<ParameterSpan> expert_regions(const ParameterArena<D, T>& arena) {
  auto spans = whole_regions(arena);
  std::erase_if(spans, [](const auto& span) { return span.region.is_shared(); });
  return spans;
}

/// A region's parameters that `wanted(parameter)` picks; neighbours are one span.
template <class Wanted>
std::vector<ParameterSpan> spans_of(const RegionLayout& layout, RegionId region, Wanted wanted) {
  std::vector<ParameterSpan> spans;
  for (const auto& parameter : layout.parameters()) {
    if (!wanted(parameter)) continue;
    if (!spans.empty() && spans.back().first + spans.back().count == parameter.offset)
      spans.back().count += parameter.size();
    else
      spans.push_back({region, parameter.offset, parameter.size()});
  }
  return spans;
}

}  // namespace demix::optim
