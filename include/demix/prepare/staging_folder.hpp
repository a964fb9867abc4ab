#pragma once
// A folder that is filled under a temporary name, so that nobody takes half of it for the whole.

#include <fcntl.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "demix/core/durable.hpp"
#include "demix/core/error.hpp"
#include "demix/core/file_lock.hpp"
#include "demix/core/output_file.hpp"

namespace demix::prepare {

/// TARGET.demix-partial, or TARGET/.demix-partial where TARGET exists: a mount point, the folder one works in
/// and the folder behind a link can be filled, but not replaced. Removed at the end, with what was not moved
/// out of it; what a killed run left is removed by the next one.
class StagingFolder {
 public:
  /// Throws Error when TARGET cannot be a folder, the staging folder cannot be created, or another process is
  /// filling it.
  explicit StagingFolder(const std::filesystem::path& target) : name_(target) {
    namespace fs = std::filesystem;
    // Whoever held the folder before may have renamed or removed it between two steps: then again.
    do {
      lock_.reset();
      locate(target);
      std::error_code error;
      fs::create_directories(path_, error);
      require(!error, "cannot create '", path_, "': ", error);
      lock_ = FileLock::attempt(path_, O_RDONLY | O_DIRECTORY, error);
      require(error != std::errc::operation_would_block, "another process is preparing '", name_, "'");
      require(!error || error == std::errc::no_such_file_or_directory, "cannot open '", path_, "': ", error);
    } while (!lock_ || fs::exists(target_) != in_place_);
    undo();
    for (const auto& left_over : fs::directory_iterator(path_)) durable::remove_all(left_over);
  }
  ~StagingFolder() {
    if (!renamed_) {
      try {
        undo();
      } catch (const Error&) {  // the next run tries again
      }
      std::error_code ignored;
      if (!std::filesystem::exists(journal(), ignored)) std::filesystem::remove_all(path_, ignored);
    }
  }
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  /// Whether the target has nothing in it but what a file system itself puts there.
  bool target_is_empty() const {
    if (!in_place_) return true;
    for (const auto& entry : std::filesystem::directory_iterator(target_))
      if (const auto name = entry.path().filename(); name != ".demix-partial" && name != "lost+found")
        return false;
    return true;
  }

  /// Moves these entries, which are all that is to stay, into the target. A process that is killed within
  /// leaves all of them, or the next StagingFolder takes away those that were moved. Only the last one may
  /// take the place of something that exists. Throws Error.
  void publish(const std::vector<std::string>& entries) {
    if (!in_place_) {
      durable::rename(path_, target_);
      renamed_ = true;
      return;
    }
    std::string list;
    for (const auto& entry : entries) list += entry + "\n";
    OutputFile file(journal());
    file.write(list);
    file.commit();
    for (const auto& entry : entries) durable::rename(path_ / entry, target_ / entry);
  }

  /// A message in which what stands in this folder has the name that the user knows.
  std::string in_users_terms(std::string message) const {
    const std::string from = path_.string(), to = name_.string();
    for (std::size_t at = 0; (at = message.find(from, at)) != std::string::npos; at += to.size())
      message.replace(at, from.size(), to);
    return message;
  }

 private:
  std::filesystem::path journal() const { return path_ / ".publishing"; }

  void locate(const std::filesystem::path& target) {
    namespace fs = std::filesystem;
    std::error_code error;
    const auto status = fs::status(target, error);
    in_place_ = fs::is_directory(status);
    require(in_place_ || !fs::exists(status), "'", target,
            "' is a file, not a data-bin or a folder for one; choose another name");
    require(in_place_ || !fs::is_symlink(fs::symlink_status(target, error)), "'", target,
            "' is a link to nothing; make the folder that it points to, or choose another name");
    target_ = in_place_ ? fs::canonical(target) : target;
    path_ = in_place_ ? target_ / ".demix-partial" : fs::path(target_.string() + ".demix-partial");
  }

  /// Takes away what an unfinished publish moved: the last entry is still here then.
  void undo() const {
    std::vector<std::string> entries;
    std::ifstream file(journal());
    for (std::string entry; std::getline(file, entry);) entries.push_back(entry);
    if (entries.empty()) return;
    if (std::filesystem::exists(path_ / entries.back())) {
      entries.pop_back();
      for (const auto& entry : entries) durable::remove_all(target_ / entry);
    }
    durable::remove_all(journal());
    durable::sync(path_);
  }

  std::filesystem::path name_;  // as the user gave it
  std::filesystem::path target_, path_;
  bool in_place_ = false, renamed_ = false;
  std::optional<FileLock> lock_;
};

}  // namespace demix::prepare
