#pragma once
// A folder for one test.

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "demix/core/error.hpp"

namespace demix::test {

/// An empty folder, removed at the end with all that is in it.
struct TemporaryFolder {
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "demix-test-XXXXXX").string();
    require(mkdtemp(name.data()) != nullptr, "cannot create the folder ", name);
    path = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::filesystem::path path;
};

}  // namespace demix::test
