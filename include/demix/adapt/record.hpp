#pragma once
// adapt.json: what an adaptation is and where it started, decided once and read back by a resumed run.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "demix/checkpoint/metadata.hpp"
#include "demix/core/file_hash.hpp"
#include "demix/core/json_text.hpp"
#include "demix/core/output_file.hpp"

namespace demix::adapt {

/// 16 hexadecimal digits of the bytes of a checkpoint's model: model.h5 and its experts' files. Throws Error.
inline std::string model_hash(const std::filesystem::path& checkpoint, const checkpoint::Metadata& metadata) {
  std::uint64_t hash = hash_of_file(checkpoint::model_file(checkpoint));
  for (const auto& domain : metadata.domains)
    if (const auto expert = checkpoint::expert_file(checkpoint, domain); std::filesystem::exists(expert))
      hash = hash_of_file(expert, hash);
  return hash_digits(hash);
}

/// What an adaptation is, and where it started.
struct Record {
  std::string domain, mode;
  std::string checkpoint, experiment, hash;  // of the base: its place, kind and model_hash
  std::uint64_t step = 0;                    // of the base
  std::string start;                         // a domain of the base; empty where nothing is chosen
  std::vector<std::pair<std::string, double>> posterior;  // by the base's domain; empty where --from chose

  nlohmann::ordered_json json() const {
    nlohmann::ordered_json probabilities;
    for (const auto& [name, p] : posterior) probabilities[name] = p;
    return {
        {"domain", domain},
        {"mode", mode},
        {"base", {{"checkpoint", checkpoint}, {"experiment", experiment}, {"step", step}, {"hash", hash}}},
        {"start", start.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(start)},
        {"posterior", probabilities}};
  }
};

/// Writes it, whole or not at all. Throws Error.
inline void write_record(const std::filesystem::path& path, const Record& record) {
  OutputFile file(path);
  file.write(json_text(record.json(), 2) + "\n");
  file.commit();
}

/// Throws Error for a file that is not what write_record writes.
inline Record read_record(const std::filesystem::path& path) {
  std::ifstream in(path);
  require(in.good(), "cannot open '", path, "'");
  try {
    const auto json = nlohmann::ordered_json::parse(in);
    Record record;
    record.domain = json.at("domain");
    record.mode = json.at("mode");
    const auto& base = json.at("base");
    record.checkpoint = base.at("checkpoint");
    record.experiment = base.at("experiment");
    record.hash = base.at("hash");
    record.step = base.at("step");
    if (!json.at("start").is_null()) record.start = json.at("start");
    for (const auto& [name, p] : json.at("posterior").items()) record.posterior.emplace_back(name, p);
    return record;
  } catch (const nlohmann::json::exception& error) {
    throw Error(
        concat(path.string(), ": not the record of an adaptation: ", error.what(), "; use another save_dir"));
  }
}

/// Throws Error unless a run that `found` records can go on as `wanted`. An empty start of `wanted` leaves
/// the choice to the record.
inline void require_same_adaptation(const std::filesystem::path& path, const Record& found,
                                    const Record& wanted) {
  const auto require_same = [&](const char* what, const std::string& there, const std::string& here) {
    require(
        there == here, "cannot continue in ", [&] { return path.parent_path(); }, ": its ", what, " is '",
        there, "', but this run's is '", here,
        "'; use another save_dir, or the options that started that run");
  };
  require_same("domain", found.domain, wanted.domain);
  require_same("mode", found.mode, wanted.mode);
  const auto base = [](const Record& r) {
    return concat(r.checkpoint, " (step ", r.step, ", ", r.hash, ")");
  };
  if (found.hash != wanted.hash) require_same("base", base(found), base(wanted));
  if (!wanted.start.empty()) require_same("start", found.start, wanted.start);
}

}  // namespace demix::adapt
