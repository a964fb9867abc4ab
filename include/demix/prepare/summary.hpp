#pragma once
// What summary.json says of a data-bin.

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "demix/core/error.hpp"
#include "demix/core/names.hpp"
#include "demix/prepare/sequences.hpp"
#include "demix/prepare/settings.hpp"

namespace demix::prepare {

/// summary.json of a data-bin; an empty object where there is none. Throws Error when it is no JSON object.
inline nlohmann::ordered_json read_summary(const std::filesystem::path& data_bin) {
  const auto path = data_bin / "summary.json";
  if (!std::filesystem::exists(path)) return nlohmann::ordered_json::object();
  std::ifstream in(path);
  require(in.good(), "cannot open '", path, "'");
  auto summary = nlohmann::ordered_json::parse(in, nullptr, false);
  require(summary.is_object() && (!summary.contains("domains") || summary["domains"].is_object()), path,
          ": not a JSON object whose domains are one");
  return summary;
}

/// The document prefix of a domain, or without a name that of a data-bin, which its domains have unless
/// summary.json says another for one. The original's where it says nothing. Throws Error.
inline std::string document_prefix_of(const std::filesystem::path& data_bin, const std::string& domain = {}) {
  const auto summary = read_summary(data_bin);
  const auto prefix_in = [&](const nlohmann::ordered_json& object, const std::string& otherwise) {
    if (!object.contains("document_prefix")) return otherwise;
    const auto& prefix = object["document_prefix"];
    require(
        prefix.is_string(), [&] { return data_bin / "summary.json"; }, ": 'document_prefix' is ",
        prefix.type_name(), ", expected a string");
    return prefix.get<std::string>();
  };
  const auto common = prefix_in(summary, original_document_prefix);
  const bool listed = summary.contains("domains") && summary["domains"].contains(domain);
  return listed ? prefix_in(summary["domains"][domain], common) : common;
}

/// The name of a unit in summary.json.
inline const char* name_of(SequenceUnit unit) { return unit == SequenceUnit::line ? "line" : "document"; }

/// What </s> ends in a data-bin. Without a summary.json it is the original's, so lines; where that says
/// nothing, documents. Throws Error.
inline SequenceUnit sequence_unit_of(const std::filesystem::path& data_bin) {
  const auto summary = read_summary(data_bin);
  if (summary.empty()) return SequenceUnit::line;
  if (!summary.contains("sequence_unit")) return SequenceUnit::document;
  for (const SequenceUnit unit : {SequenceUnit::document, SequenceUnit::line})
    if (summary["sequence_unit"] == name_of(unit)) return unit;
  throw Error(concat((data_bin / "summary.json").string(), ": 'sequence_unit' is ",
                     summary["sequence_unit"].dump(), ", expected \"document\" or \"line\""));
}

}  // namespace demix::prepare
