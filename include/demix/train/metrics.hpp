#pragma once
// metrics.jsonl: one JSON object per line, appended while training runs.

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "demix/core/error.hpp"

namespace demix::train {

/// Every object has "type" and "step". A resumed run drops the lines of updates that it is going to repeat,
/// so the file reads like that of an unbroken run.
class MetricsLog {
 public:
  /// Opens `path`, keeping the whole lines up to and including `step`. Throws Error when it cannot be
  /// written.
  MetricsLog(const std::filesystem::path& path, std::uint64_t step) : path_(path) {
    drop_lines_after(step);
    out_.open(path, std::ios::app);
    require(out_.good(), "cannot write '", path.string(), "'");
  }

  void write(const nlohmann::ordered_json& object) {
    out_ << object.dump() << "\n" << std::flush;
    require(out_.good(), "cannot write '", path_.string(), "': is the disk full?");
  }

 private:
  void drop_lines_after(std::uint64_t step) {
    std::ifstream in(path_);
    if (!in) return;
    const auto kept_path = path_.string() + ".partial";
    std::ofstream kept(kept_path, std::ios::trunc);
    for (std::string line; std::getline(in, line) && !in.eof();) {
      const auto object = nlohmann::json::parse(line, nullptr, false);
      if (!object.is_discarded() && object.value("step", std::uint64_t{0}) <= step) kept << line << "\n";
    }
    kept.close();
    require(kept.good(), "cannot write '", kept_path, "'");
    std::filesystem::rename(kept_path, path_);
  }

  std::filesystem::path path_;
  std::ofstream out_;
};

}  // namespace demix::train
