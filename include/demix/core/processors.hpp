#pragma once
// How many processors a program may really use, and how its threads wait for each other.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <istream>
#include <limits>
#include <sstream>
#include <string>

namespace demix {

namespace processors_detail {

/// Whether `name` is an item of "a,b,c".
inline bool lists(const std::string& items, const std::string& name) {
  return ("," + items + ",").find("," + name + ",") != std::string::npos;
}

/// The path of this process in a hierarchy of /proc/self/cgroup, whose lines are "0::PATH" (version 2) and
/// "N:CONTROLLERS:PATH"; empty when it is in none.
inline std::string cgroup_path(const std::string& groups, bool version_2) {
  std::istringstream in(groups);
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (version_2 ? controllers.empty() : lists(controllers, "cpu")) return line.substr(second + 1);
  }
  return {};
}

/// The processors that one group's quota is worth.
inline double quota(const std::filesystem::path& group, bool version_2) {
  const auto read = [&](const char* name) {
    std::ifstream in(group / name);
    std::string quota, period;  // "max" in place of a number: no quota
    in >> quota >> period;
    if (!version_2) std::ifstream(group / "cpu.cfs_period_us") >> period;
    const double allowed = std::atof(quota.c_str()), of = std::atof(period.c_str());
    return allowed > 0 && of > 0 ? allowed / of : std::numeric_limits<double>::infinity();
  };
  return read(version_2 ? "cpu.max" : "cpu.cfs_quota_us");
}

}  // namespace processors_detail

/// How many processors' time the control groups of a process give it, as containers and batch systems set
/// it; infinite without a quota. `mounts` and `groups` are what /proc/PID/mountinfo and /proc/PID/cgroup say.
inline double processor_quota(std::istream& mounts, const std::string& groups) {
  namespace detail = processors_detail;
  double least = std::numeric_limits<double>::infinity();
  for (std::string line; std::getline(mounts, line);) {
    // ID PARENT DEVICE ROOT MOUNT_POINT OPTIONS... - TYPE SOURCE OPTIONS
    std::istringstream before(line), after(line.substr(std::min(line.find(" - "), line.size())));
    std::string skipped, root, mount_point, type, options;
    before >> skipped >> skipped >> skipped >> root >> mount_point;
    after >> skipped >> type >> skipped >> options;
    const bool version_2 = type == "cgroup2";
    if (!version_2 && (type != "cgroup" || !detail::lists(options, "cpu"))) continue;
    std::string path = detail::cgroup_path(groups, version_2);
    if (root != "/") path = path.starts_with(root) ? path.substr(root.size()) : "";
    // A quota holds for all groups below.
    std::filesystem::path group = mount_point;
    least = std::min(least, detail::quota(group, version_2));
    for (const auto& name : std::filesystem::path(path).relative_path())
      least = std::min(least, detail::quota(group /= name, version_2));
  }
  return least;
}

/// The processors that this process may run on, but no more than its control groups give time for (rounded
/// up: one and a half are two).
inline int available_processors() {
  int count = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  std::ifstream mounts("/proc/self/mountinfo"), groups("/proc/self/cgroup");
  std::ostringstream text;
  text << groups.rdbuf();
  const double quota = processor_quota(mounts, text.str());
  if (quota < count) count = static_cast<int>(std::ceil(quota));
  return std::max(1, count);
}

/// How often a thread that waits looks for its work before it sleeps, when the environment does not say. On a
/// machine of its own a program is as fast as with libgomp's 300 000, and loses half its speed or more by not
/// looking at all (a sleeping thread takes long to wake); where other programs or a quota take processors
/// away, libgomp's number costs ten to a hundred times the work.
inline constexpr const char* spin_count = "2000";

/// For programs, first of all in main: limits how long waiting OpenMP threads spin, unless the environment
/// says how they wait. GNU's library reads the environment before main begins, so the program starts itself
/// again, once, with the variable set; where that fails it goes on as it is.
inline void limit_spinning(char** argv) {
  for (const char* name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"})
    if (std::getenv(name)) return;
  if (::setenv("GOMP_SPINCOUNT", spin_count, 0) == 0) ::execv("/proc/self/exe", argv);
}

}  // namespace demix
