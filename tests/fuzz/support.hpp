#pragma once
// What the fuzz targets share: input is bytes, and whatever they are, a reader takes them or throws Error.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"
#include "temporary_folder.hpp"

namespace fuzz {

/// The folder of this process's input files.
inline const std::filesystem::path& folder() {
  static const demix::test::TemporaryFolder temporary;
  return temporary.path;
}

/// A file of that name with these bytes, in place of the one before.
inline std::filesystem::path write_file(const std::string& name, std::string_view bytes) {
  auto path = folder() / name;
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

/// The input between 0xFF bytes, which text in UTF-8 does not have: `count` parts, the last one with the
/// rest.
inline std::vector<std::string> parts(const std::uint8_t* data, std::size_t size, std::size_t count) {
  std::vector<std::string> result(1);
  for (std::size_t i = 0; i < size; ++i)
    if (data[i] == 0xff && result.size() < count)
      result.emplace_back();
    else
      result.back().push_back(static_cast<char>(data[i]));
  result.resize(count);
  return result;
}

/// Runs a reader of damaged input: Error is a right answer, every other exception ends the process.
template <class Read>
void read(Read&& reader) {
  try {
    std::forward<Read>(reader)();
  } catch (const demix::Error&) {
  }
}

}  // namespace fuzz
