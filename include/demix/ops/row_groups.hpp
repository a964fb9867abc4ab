#pragma once
// Entries grouped by a number that each has: what a router needs, so that the rows of every expert stand side
// by side. A counting sort in fixed chunks: no atomics, and the same order on every device.

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "demix/core/host_device.hpp"
#include "demix/core/math.hpp"
#include "demix/device/array.hpp"

namespace demix::ops {

inline constexpr std::size_t row_groups_chunk = 512;

/// counts[chunk, g] = how many of the chunk's entries are of group g. No entry has a place yet.
struct CountGroups {
  const std::int32_t* index;
  std::int32_t *counts, *members, *places;
  std::size_t size, groups;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t chunk) const {
    const std::size_t first = chunk * row_groups_chunk, rest = size - first,
                      length = rest < row_groups_chunk ? rest : row_groups_chunk;
    const std::int32_t* group_of = index + first;
    std::int32_t *count = counts + chunk * groups, *member = members + first, *place = places + first;
    team.for_each(length, [=](std::size_t i) { member[i] = place[i] = -1; });
    team.for_each(groups, [=](std::size_t g) {
      std::int32_t n = 0;
      for (std::size_t i = 0; i < length; ++i) n += group_of[i] == static_cast<std::int32_t>(g);
      count[g] = n;
    });
  }
};

/// firsts = where each group starts; counts[chunk, g] becomes how many of the group stand in earlier chunks.
struct StartGroups {
  std::int32_t *counts, *firsts;
  std::size_t chunks, groups;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t) const {
    std::int32_t *count = counts, *first = firsts;
    const std::size_t rows = chunks, cols = groups;
    team.for_each(cols, [=](std::size_t g) {
      std::int32_t before = 0;
      for (std::size_t k = 0; k < rows; ++k) {
        const std::int32_t n = count[k * cols + g];
        count[k * cols + g] = before;
        before += n;
      }
      first[g + 1] = before;
    });
    team.sync();
    team.once([=] {
      first[0] = 0;
      for (std::size_t g = 0; g < cols; ++g) first[g + 1] += first[g];
    });
  }
};

/// Puts the entries of one chunk in their places, in order.
struct FillGroups {
  const std::int32_t *index, *counts, *firsts;
  std::int32_t *members, *places;
  std::size_t size, groups;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t chunk) const {
    const std::size_t first = chunk * row_groups_chunk,
                      last = size - first < row_groups_chunk ? size : first + row_groups_chunk;
    const std::int32_t *group_of = index, *before = counts + chunk * groups, *start = firsts;
    std::int32_t *member = members, *place = places;
    team.for_each(groups, [=](std::size_t g) {
      std::int32_t at = start[g] + before[g];
      for (std::size_t i = first; i < last; ++i)
        if (group_of[i] == static_cast<std::int32_t>(g)) {
          member[at] = static_cast<std::int32_t>(i);
          place[i] = at++;
        }
    });
  }
};

/// Entries 0 .. n - 1 in the order of their groups and, within one, in their own: group g has the places
/// [firsts[g], firsts[g + 1]), members[p] is the entry at place p, places[i] the place of entry i, so that
/// each of the two is the other's inverse. All three are device memory. Buffers only grow.
template <device::Device D>
class RowGroups {
 public:
  explicit RowGroups(D& device)
      : device_(&device), counts_(device), firsts_(device), members_(device), places_(device) {}

  /// Groups entry i by index[i] (device memory), a number below `groups`. An entry with any other number is
  /// in no group and has the place -1. n `groups` comparisons: for a router's experts, not a vocabulary. Does
  /// not wait for the device. Throws Error where numbers of 32 bits do not suffice.
  void assign(const std::int32_t* index, std::size_t n, std::size_t groups) {
    constexpr auto most = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
    require(n <= most && groups < most, "row groups: ", n, " entries in ", groups,
            " groups, but numbers of 32 bits count to ", most);
    size_ = n;
    groups_ = groups;
    host_firsts_.clear();
    const std::size_t chunks = ceil_div(n, row_groups_chunk);
    const auto counts = counts_.matrix(chunks, groups);
    firsts_.reserve(groups + 1);
    members_.reserve(n);
    places_.reserve(n);
    device_->rows(chunks, CountGroups{index, counts.data, members_.data(), places_.data(), n, groups});
    device_->rows(1, StartGroups{counts.data, firsts_.data(), chunks, groups});
    device_->rows(chunks,
                  FillGroups{index, counts.data, firsts_.data(), members_.data(), places_.data(), n, groups});
  }

  std::size_t size() const { return size_; }
  std::size_t groups() const { return groups_; }
  const std::int32_t* firsts() const { return firsts_.data(); }    // [groups + 1]
  const std::int32_t* members() const { return members_.data(); }  // [n], -1 from firsts[groups] on
  const std::int32_t* places() const { return places_.data(); }    // [n]

  /// `firsts` on the host, for one GEMM per group; valid until the next `assign`. Its first call after one
  /// waits for the device. Throws Error when an entry is in no group.
  std::span<const std::int32_t> host_firsts() {
    if (host_firsts_.empty()) {
      host_firsts_.resize(groups_ + 1);
      device_->copy_to_host(host_firsts_.data(), firsts_.data(), groups_ + 1);
    }
    const auto grouped = static_cast<std::size_t>(host_firsts_.back());
    require(grouped == size_, "row groups: ", size_ - grouped, " of ", size_,
            " entries have a number that is not in [0, ", groups_, ")");
    return host_firsts_;
  }

 private:
  D* device_;
  std::size_t size_ = 0, groups_ = 0;
  device::Array<D, std::int32_t> counts_, firsts_, members_, places_;
  std::vector<std::int32_t> host_firsts_;
};

}  // namespace demix::ops
