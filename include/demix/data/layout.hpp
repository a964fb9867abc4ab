#pragma once
// Where things stand in a data-bin: DOMAIN/{train,valid_DOMAIN,test_DOMAIN}.{bin,idx} beside dict.txt.

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/names.hpp"
#include "demix/data/indexed_format.hpp"

namespace demix::data {

/// The name of a split's files in its domain's folder, without the suffix.
inline std::string split_file_name(const std::string& domain, const std::string& split) {
  return split == "train" ? split : split + "_" + domain;
}

/// Whether a data-bin has a file of its own that a domain's folder `name` would be in the way of, also where
/// a file system does not tell capital letters from small ones.
inline bool is_data_bin_file(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  constexpr std::array files{"dict.txt", "encoder.json", "vocab.bpe", "summary.json"};
  return std::find(files.begin(), files.end(), name) != files.end();
}

/// The domains of a data-bin, sorted: its sub-folders that hold a split. Throws Error when it is no folder.
inline std::vector<std::string> list_domains(const std::filesystem::path& data_bin) {
  std::error_code error;
  std::vector<std::string> domains;
  for (std::filesystem::directory_iterator entry(data_bin, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name == "lost+found") continue;  // of a mount point: it may not be read
    for (const char* split : {"train", "valid", "test"}) {
      const auto index = indexed_format::with_suffix(entry->path() / split_file_name(name, split), ".idx");
      std::error_code unknown;
      const bool exists = std::filesystem::exists(index, unknown);
      require(!unknown || unknown == std::errc::not_a_directory, "cannot look for '", index, "': ", unknown);
      if (!exists) continue;
      domains.push_back(name);
      break;
    }
  }
  require(!error, "cannot read the data-bin '", data_bin, "': ", error);
  std::sort(domains.begin(), domains.end());
  return domains;
}

/// DATA-BIN/DOMAIN/train, .../valid_DOMAIN or .../test_DOMAIN: the prefix of a split's two files. Throws
/// UsageError for another split, and Error, which lists the domains that are there, for a missing one.
inline std::filesystem::path split_prefix(const std::filesystem::path& data_bin, const std::string& domain,
                                          const std::string& split) {
  require_one_of("split", split, {"train", "valid", "test"});
  auto prefix = data_bin / domain / split_file_name(domain, split);
  const auto index = indexed_format::with_suffix(prefix, ".idx");
  if (!std::filesystem::exists(index)) {
    std::string known;
    for (const auto& name : list_domains(data_bin)) known += " " + name;
    throw Error(
        concat("no ", split, " split of domain '", domain, "': '", index.string(),
               "' does not exist; the domains of this data-bin are:", known.empty() ? " none" : known));
  }
  return prefix;
}

}  // namespace demix::data
