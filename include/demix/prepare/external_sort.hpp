#pragma once
// Sorting more records than memory is to hold.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <queue>
#include <type_traits>
#include <utility>
#include <vector>

#include "demix/core/output_file.hpp"
#include "demix/prepare/documents.hpp"

namespace demix::prepare {

/// Collects records and gives them back in the order of <. What does not fit `most` records lies in sorted
/// runs in a temporary file, so memory is that of `most` records and some kilobytes a run.
template <class Record>
class ExternalSort {
  static_assert(std::is_trivially_copyable_v<Record>);

 public:
  explicit ExternalSort(std::filesystem::path scratch, std::size_t most = std::size_t{1} << 17)
      : scratch_path_(std::move(scratch)), most_(most) {}

  /// Throws Error, for instance when the disk is full.
  void add(const Record& record) {
    if (records_.size() == most_) write_run();
    records_.push_back(record);
  }

  /// Calls take(record) for every record in order. Call it once. Throws Error.
  template <class Take>
  void merge(Take&& take) {
    std::sort(records_.begin(), records_.end());
    if (!scratch_) {
      for (const Record& record : records_) take(record);
      return;
    }
    write_run();
    records_ = {};
    scratch_->flush();
    const InputFile file(scratch_->partial_path());
    std::vector<Cursor> cursors;
    for (const auto& [first, last] : runs_) cursors.push_back({first, last, {}, 0});
    const auto later = [&](std::size_t a, std::size_t b) { return cursors[b].head() < cursors[a].head(); };
    std::priority_queue<std::size_t, std::vector<std::size_t>, decltype(later)> next(later);
    for (std::size_t i = 0; i < cursors.size(); ++i)
      if (cursors[i].load(file)) next.push(i);
    while (!next.empty()) {
      const std::size_t i = next.top();
      next.pop();
      take(cursors[i].head());
      if (++cursors[i].at < cursors[i].records.size() || cursors[i].load(file)) next.push(i);
    }
  }

 private:
  struct Run {
    std::uint64_t first, last;  // records in the file
  };
  struct Cursor {
    std::uint64_t next, last;
    std::vector<Record> records;
    std::size_t at;

    const Record& head() const { return records[at]; }
    bool load(const InputFile& file) {
      constexpr std::uint64_t at_once = 256;
      records.resize(static_cast<std::size_t>(std::min(at_once, last - next)));
      file.read(next * sizeof(Record), records.data(), records.size() * sizeof(Record));
      next += records.size();
      at = 0;
      return !records.empty();
    }
  };

  void write_run() {
    if (!scratch_) scratch_ = std::make_unique<OutputFile>(scratch_path_);
    std::sort(records_.begin(), records_.end());
    scratch_->write(records_.data(), records_.size() * sizeof(Record));
    runs_.push_back({written_, written_ + records_.size()});
    written_ += records_.size();
    records_.clear();
  }

  std::filesystem::path scratch_path_;
  std::size_t most_;
  std::vector<Record> records_;
  std::unique_ptr<OutputFile> scratch_;
  std::vector<Run> runs_;
  std::uint64_t written_ = 0;
};

}  // namespace demix::prepare
