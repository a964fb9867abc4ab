#pragma once
// The variables by which launchers tell processes of each other.

#include <cstdlib>
#include <map>
#include <string>

namespace demix::test {

using Variables = std::map<std::string, std::string>;

/// An environment of these variables, and of none of the launchers' others, while it lives.
class Environment {
 public:
  explicit Environment(const Variables& variables = {}) {
    clear();
    for (const auto& [name, value] : variables) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() { clear(); }

 private:
  static void clear() {
    for (const char* name : {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK",
                             "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "DEMIX_RANK_TIMEOUT"})
      ::unsetenv(name);
  }
};

}  // namespace demix::test
