#pragma once
// Whether files have the same content.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "demix/core/error.hpp"
#include "demix/core/hash.hpp"

namespace demix {

/// fnv1a of a file's bytes, or of what came before and the file's bytes, when `hash` is its hash. Reads the
/// file in pieces. Throws Error.
inline std::uint64_t hash_of_file(const std::filesystem::path& path, std::uint64_t hash = fnv1a("")) {
  std::ifstream in(path, std::ios::binary);
  std::string buffer(std::size_t{1} << 20, '\0');
  while (in.good()) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    hash = fnv1a({buffer.data(), static_cast<std::size_t>(in.gcount())}, hash);
  }
  require(in.eof(), "cannot read '", path, "'");
  return hash;
}

}  // namespace demix
