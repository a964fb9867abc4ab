#pragma once
// metrics.jsonl: one JSON object per line, appended while training runs.

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "demix/core/error.hpp"
#include "demix/core/json_text.hpp"
#include "demix/core/output_file.hpp"

namespace demix::train {

/// Every object has "type" and "step". A resumed run drops the lines of updates that it is going to repeat,
/// so the file reads like that of an unbroken run.
class MetricsLog {
 public:
  /// Opens `path`, keeping the whole lines up to and including `step`, but where `validates_again` not the
  /// validation of that step. Throws Error when it cannot be written, or holds something else than metrics.
  MetricsLog(const std::filesystem::path& path, std::uint64_t step, bool validates_again = false)
      : path_(path) {
    drop_lines_after(step, validates_again);
    append_to_file(path, "");
  }

  /// Appends a line. Returns false when it cannot be written now: it is kept, and goes before the next one.
  bool write(const nlohmann::ordered_json& object) {
    unwritten_ += json_text(object) + "\n";
    return write_kept();
  }

  /// Throws Error unless all lines are written.
  void complete() { require(write_kept(), reason_); }

 private:
  bool write_kept() {
    if (unwritten_.empty()) return true;
    try {
      append_to_file(path_, unwritten_);
      unwritten_.clear();
      return true;
    } catch (const Error& error) {
      reason_ = error.what();
      return false;
    }
  }

  /// Also drops what a kill has cut.
  void drop_lines_after(std::uint64_t step, bool validates_again) const {
    std::ifstream in(path_);
    if (!in) return;
    OutputFile kept(path_);
    std::size_t number = 0;
    for (std::string line; std::getline(in, line) && !in.eof();) {
      ++number;
      const auto object = nlohmann::json::parse(line, nullptr, false);
      if (object.is_discarded()) continue;
      require(
          object.is_object() && object.contains("step") && object["step"].is_number_unsigned(), "'", path_,
          "', line ", number, ": ", std::string_view(line).substr(0, 80),
          " is not the metrics of an update, an object with a whole number \"step\"; move the file away, or "
          "use another save_dir");
      const auto of = object["step"].get<std::uint64_t>();
      const bool valid = object.contains("type") && object["type"] == "valid";
      if (of < step || (of == step && !(valid && validates_again))) kept.write(line + "\n");
    }
    require(!in.bad(), "cannot read '", path_, "'");
    kept.commit();
  }

  std::filesystem::path path_;
  std::string unwritten_, reason_;
};

}  // namespace demix::train
