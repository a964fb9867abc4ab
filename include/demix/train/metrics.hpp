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
  /// Opens `path`, keeping the whole lines up to and including `step`, but where `validates_again` not the
  /// validation of that step. Throws Error when it cannot be written.
  MetricsLog(const std::filesystem::path& path, std::uint64_t step, bool validates_again = false)
      : path_(path) {
    drop_lines_after(step, validates_again);
    require(std::ofstream(path, std::ios::app).good(), "cannot write '", path.string(), "'");
  }

  /// Appends a line. Returns false when it cannot be written now: it is kept, and goes before the next one.
  bool write(const nlohmann::ordered_json& object) {
    unwritten_ += object.dump() + "\n";
    return write_kept();
  }

  /// Throws Error unless all lines are written.
  void complete() { require(write_kept(), "cannot write '", path_.string(), "': is the disk full?"); }

 private:
  bool write_kept() {
    if (unwritten_.empty()) return true;
    std::error_code unknown_size, ignored;
    const auto size = std::filesystem::file_size(path_, unknown_size);
    std::ofstream out(path_, std::ios::app);
    out << unwritten_;
    out.close();
    if (out.good()) {
      unwritten_.clear();
      return true;
    }
    if (!unknown_size) std::filesystem::resize_file(path_, size, ignored);  // a line may be there in part
    return false;
  }

  void drop_lines_after(std::uint64_t step, bool validates_again) {
    std::ifstream in(path_);
    if (!in) return;
    const auto kept_path = path_.string() + ".partial";
    std::ofstream kept(kept_path, std::ios::trunc);
    for (std::string line; std::getline(in, line) && !in.eof();) {
      const auto object = nlohmann::json::parse(line, nullptr, false);
      if (object.is_discarded()) continue;
      const auto of = object.value("step", std::uint64_t{0});
      if (of > step || (of == step && validates_again && object.value("type", "") == "valid")) continue;
      kept << line << "\n";
    }
    kept.close();
    require(kept.good(), "cannot write '", kept_path, "'");
    std::filesystem::rename(kept_path, path_);
  }

  std::filesystem::path path_;
  std::string unwritten_;
};

}  // namespace demix::train
