#pragma once
// A run's folder of checkpoints: checkpoint_<step>, and links to the last and the best one.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "demix/checkpoint/place.hpp"
#include "demix/core/partial_folder.hpp"

namespace demix::checkpoint {

namespace folder_detail {

inline bool equal_files(const std::filesystem::path& a, const std::filesystem::path& b) {
  std::ifstream in_a(a, std::ios::binary), in_b(b, std::ios::binary);
  std::string part_a(std::size_t{1} << 20, '\0'), part_b = part_a;
  while (in_a.good() && in_b.good()) {
    in_a.read(part_a.data(), static_cast<std::streamsize>(part_a.size()));
    in_b.read(part_b.data(), static_cast<std::streamsize>(part_b.size()));
    const auto size = static_cast<std::size_t>(in_a.gcount());
    if (in_a.gcount() != in_b.gcount() || part_a.compare(0, size, part_b, 0, size) != 0) return false;
  }
  return in_a.eof() && in_b.eof();
}

/// Whether every file below `copy` is below `folder` too, with the same bytes.
inline bool holds_files_of(const std::filesystem::path& folder, const std::filesystem::path& copy) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(copy))
    if (!entry.is_directory() && !equal_files(entry.path(), folder / entry.path().lexically_relative(copy)))
      return false;
  return true;
}

}  // namespace folder_detail

/// The checkpoints of a run's folder. Only complete ones carry the name checkpoint_<step>; every change is
/// one rename, so that the folder is sound after a kill at any moment. One process at a time may change it.
class CheckpointFolder {
 public:
  /// Creates the folder, and those above it, where missing. Throws Error when it cannot be written, or lies
  /// in a checkpoint.
  explicit CheckpointFolder(std::filesystem::path path) : path_(std::move(path)) {
    require_outside_checkpoints(path_);
    std::error_code code;
    std::filesystem::create_directories(path_, code);
    durable::check(code, path_, "create this folder");
    const int writable = ::access(path_.c_str(), W_OK | X_OK);
    durable::check(std::error_code(writable == 0 ? 0 : errno, std::generic_category()), path_,
                   "write into this folder");
    require(std::filesystem::is_directory(path_, code), path_, ": not a folder");
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path path_of(std::uint64_t step) const { return path_ / (prefix + std::to_string(step)); }

  /// The highest step that has a checkpoint.
  std::optional<std::uint64_t> latest_step() const {
    const auto all = steps();
    return all.empty() ? std::nullopt : std::optional(all.back());
  }

  /// Removes what a killed process left incomplete; what a living one writes stays.
  void remove_partial() {
    for (const auto& name : entries())
      if (durable::is_partial(name, prefix)) durable::PartialFolder::remove_abandoned(path_ / name);
    for (const auto step : steps())
      for (const auto& state : {state_file(path_of(step)), state_folder(path_of(step))})
        durable::remove_all(durable::partial(state));
  }

  /// Makes checkpoint_last and checkpoint_best links again where they are directories, as in a copy of the
  /// folder by cp -rL: one whose checkpoint_<step> is missing becomes that, and one that equals it is
  /// removed. Throws Error, and leaves it, when it is something else.
  void restore_links() {
    for (const char* name : {"checkpoint_last", "checkpoint_best"}) {
      const auto copy = path_ / name;
      std::error_code ignored;
      if (!std::filesystem::is_directory(std::filesystem::symlink_status(copy, ignored))) continue;
      require(is_checkpoint(copy), copy,
              ": is a folder without a checkpoint, where a link to one belongs; move it away");
      const auto step = hdf5::read_attribute<std::uint64_t>(hdf5::open_file(model_file(copy)), "step");
      if (std::filesystem::exists(path_of(step))) {
        require(
            folder_detail::holds_files_of(path_of(step), copy), copy, ": is a folder, not a link to ",
            [&] { return path_of(step); }, ", and differs from it; move it away");
        remove(name);
      } else {
        durable::rename_new(copy, path_of(step));
      }
      point(name, step);
    }
  }

  /// Makes the link `link_name`, such as checkpoint_last, lead to the checkpoint of `step`, in one move from
  /// the one before. Throws Error when there is no such checkpoint.
  void point(const std::string& link_name, std::uint64_t step) {
    require(
        std::filesystem::is_directory(path_of(step)), [&] { return path_of(step); },
        ": no such checkpoint, so ", link_name, " cannot lead to it");
    const auto link = path_ / link_name, partial = durable::partial(link);
    durable::remove_all(partial);
    std::error_code code;
    std::filesystem::create_directory_symlink(path_of(step).filename(), partial, code);
    durable::check(code, partial, "create this link");
    durable::rename(partial, link);
  }

  /// The step of the checkpoint that a link leads to; none when there is no such link or its checkpoint is
  /// gone.
  std::optional<std::uint64_t> step_of(const std::string& link_name) const {
    std::error_code code;
    const auto target = std::filesystem::read_symlink(path_ / link_name, code);
    if (code) return std::nullopt;
    const auto step = parse(target.string());
    return step && std::filesystem::is_directory(path_of(*step), code) ? step : std::nullopt;
  }

  /// Removes all checkpoints but the `n` newest, n > 0, and those that a link in the folder leads to.
  void keep_newest(std::size_t n) {
    require(n > 0, path_, ": cannot keep 0 checkpoints");
    std::set<std::uint64_t> linked;
    for (const auto& name : entries())
      if (const auto step = step_of(name)) linked.insert(*step);
    auto old = steps();
    old.resize(old.size() - std::min(n, old.size()));
    for (const auto step : old)
      if (!linked.contains(step)) remove(path_of(step).filename().string());
  }

 private:
  static constexpr const char* prefix = "checkpoint_";

  /// The step in a name checkpoint_<step>, if it is one that path_of makes.
  static std::optional<std::uint64_t> parse(std::string_view name) {
    if (!name.starts_with(prefix)) return std::nullopt;
    name.remove_prefix(std::string_view(prefix).size());
    std::uint64_t step = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
    if (error != std::errc() || std::to_string(step) != name) return std::nullopt;
    return step;
  }

  /// Removes a checkpoint, at once for those who look, and what an earlier removal left of it.
  void remove(const std::string& name) {
    const auto old = durable::partial(path_ / (name + ".old"));
    durable::PartialFolder::remove_abandoned(durable::partial(path_ / name));
    durable::remove_all(old);
    durable::rename(path_ / name, old);
    durable::remove_all(old);
  }

  std::vector<std::string> entries() const {
    std::error_code code;
    std::vector<std::string> names;
    for (std::filesystem::directory_iterator it(path_, code), end; !code && it != end; it.increment(code))
      names.push_back(it->path().filename().string());
    durable::check(code, path_, "list this folder");
    return names;
  }

  /// In ascending order.
  std::vector<std::uint64_t> steps() const {
    std::vector<std::uint64_t> result;
    std::error_code ignored;
    for (const auto& name : entries())
      if (const auto step = parse(name); step && std::filesystem::is_directory(path_ / name, ignored))
        result.push_back(*step);
    std::sort(result.begin(), result.end());
    return result;
  }

  std::filesystem::path path_;
};

}  // namespace demix::checkpoint
