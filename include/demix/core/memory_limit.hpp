#pragma once
// Memory that there must be for sizes that follow from numbers of users and files.

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <limits>
#include <sstream>
#include <string>
#include <utility>

#include "demix/core/error.hpp"

namespace demix {

/// "1610612736 bytes (1.5 GiB)".
inline std::string bytes_text(double bytes) {
  constexpr const char* units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double scaled = bytes / 1024;
  std::size_t unit = 0;
  for (; scaled >= 1024 && unit + 1 < std::size(units); ++unit) scaled /= 1024;
  std::ostringstream out;
  out << std::fixed << std::setprecision(0) << bytes << " bytes";
  if (bytes >= 1024) out << " (" << std::setprecision(1) << scaled << ' ' << units[unit] << ')';
  return std::move(out).str();
}

/// The bytes of memory that this process may come to hold: the machine's, swap included, or less where a
/// control group (a container) or a limit of the shell (ulimit -v) says so.
inline double memory_limit() {
  const auto number_in = [](const std::string& path) {
    double value = std::numeric_limits<double>::infinity();
    std::ifstream(path) >> value;  // "max" leaves 0
    return value > 0 ? value : std::numeric_limits<double>::infinity();
  };
  double swap = 0;
  std::ifstream info("/proc/meminfo");
  for (std::string name, rest; info >> name && std::getline(info, rest);)
    if (name == "SwapTotal:") swap = 1024 * std::strtod(rest.c_str(), nullptr);
  double limit =
      static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) + swap;
  limit = std::min(limit, number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes") + swap);
  std::string group;
  for (std::ifstream groups("/proc/self/cgroup"); std::getline(groups, group);)
    if (group.starts_with("0::/")) {
      for (group.erase(0, 3);; group.erase(group.rfind('/'))) {
        limit = std::min(limit, number_in("/sys/fs/cgroup" + group + "/memory.max") + swap);
        if (group.empty()) break;
      }
    }
  rlimit address_space{};
  if (getrlimit(RLIMIT_AS, &address_space) == 0 && address_space.rlim_cur != RLIM_INFINITY)
    limit = std::min(limit, static_cast<double>(address_space.rlim_cur));
  return limit;
}

/// Throws E with the message made of `parts` where `bytes` are more than memory_limit(). `bytes` is a real
/// number, which cannot wrap.
template <class E = Error, class... Parts>
void require_memory(double bytes, const Parts&... parts) {
  constexpr double always_there = 1 << 24;  // is not worth reading the limits
  if (bytes <= always_there || bytes <= memory_limit()) return;
  throw E(concat(parts..., " needs at least ", bytes_text(bytes), " of memory; there are ",
                 bytes_text(memory_limit())));
}

}  // namespace demix
