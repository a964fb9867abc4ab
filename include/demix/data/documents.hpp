#pragma once
// Where documents come from: a .jsonl file or a folder of text files, read document by document.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"

namespace demix::data {

/// Where a document stands in its source.
struct DocumentPlace {
  std::uint64_t offset;  // the first byte of its line; 0 in a folder
  std::uint64_t length;  // bytes of its line or file
  std::uint64_t number;  // of its line, from 1; of its file, from 0
};

/// A source of documents. `text` may be called from several threads.
class DocumentReader {
 public:
  DocumentReader() = default;
  virtual ~DocumentReader() = default;
  DocumentReader(const DocumentReader&) = delete;
  DocumentReader& operator=(const DocumentReader&) = delete;

  /// The place of the next document, from the first to the last. Throws Error.
  virtual std::optional<DocumentPlace> next() = 0;
  /// The text of the document at a place. Throws Error, with file and line, where there is none.
  virtual std::string text(const DocumentPlace& place) const = 0;
};

/// A file that is read in pieces, by any thread.
class InputFile {
 public:
  /// Throws Error.
  explicit InputFile(std::filesystem::path path)
      : path_(std::move(path)), fd_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    require(fd_ >= 0, "cannot open '", path_.string(), "': ", std::strerror(errno));
  }
  ~InputFile() { ::close(fd_); }
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }

  /// Overwrites [to, to + length) with the bytes from `offset` on. Throws Error when they are not there (any
  /// more).
  void read(std::uint64_t offset, void* to, std::size_t length) const {
    for (std::size_t done = 0; done < length;) {
      const auto got =
          ::pread(fd_, static_cast<char*>(to) + done, length - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      require(got >= 0, "cannot read '", path_.string(), "': ", std::strerror(errno));
      require(got > 0, path_.string(), ": ends at byte ", offset + done, ", expected ", offset + length,
              ": was it changed meanwhile?");
      done += static_cast<std::size_t>(got);
    }
  }
  std::string read(std::uint64_t offset, std::uint64_t length) const {
    std::string bytes(length, '\0');
    read(offset, bytes.data(), bytes.size());
    return bytes;
  }

 private:
  std::filesystem::path path_;
  int fd_;
};

/// One JSON object a line, the text under one of its fields. Blank lines are skipped.
class JsonlReader final : public DocumentReader {
 public:
  JsonlReader(const std::filesystem::path& path, std::string text_field)
      : file_(path), text_field_(std::move(text_field)), lines_(path, std::ios::binary) {
    require(lines_.good(), "cannot open '", path.string(), "'");
  }

  std::optional<DocumentPlace> next() override {
    while (std::getline(lines_, line_)) {
      const DocumentPlace place{offset_, line_.size(), ++number_};
      offset_ += line_.size() + 1;
      if (line_.find_first_not_of(" \t\r") != std::string::npos) return place;
    }
    require(lines_.eof() && !lines_.bad(), "cannot read '", file_.path().string(), "' after line ", number_);
    return std::nullopt;
  }

  std::string text(const DocumentPlace& place) const override {
    const std::string where = concat(file_.path().string(), ":", place.number);
    nlohmann::json object;
    try {
      object = nlohmann::json::parse(file_.read(place.offset, place.length));
    } catch (const nlohmann::json::parse_error& error) {
      throw Error(concat(where, ": not JSON in UTF-8: ", error.what(),
                         " (a folder of text files instead of .jsonl keeps any bytes)"));
    }
    require(object.is_object(), where, ": expected a JSON object, found ", object.type_name());
    const auto field = object.find(text_field_);
    if (field == object.end()) {
      std::string fields;
      for (const auto& [name, value] : object.items()) fields += " " + name;
      throw Error(concat(where, ": no field '", text_field_, "'; it has:",
                         fields.empty() ? std::string(" none") : fields, ". --text-field chooses the field"));
    }
    require(field->is_string(), where, ": the field '", text_field_, "' is ", field->type_name(),
            ", expected a string");
    return std::move(field->get_ref<std::string&>());
  }

 private:
  InputFile file_;
  std::string text_field_;
  std::ifstream lines_;
  std::string line_;
  std::uint64_t offset_ = 0, number_ = 0;
};

/// A folder of text files and its sub-folders: one document a file, in the order of their paths, byte for
/// byte. Names that begin with a dot are skipped. Keeps the paths in memory.
class FolderReader final : public DocumentReader {
 public:
  explicit FolderReader(const std::filesystem::path& folder) {
    namespace fs = std::filesystem;
    std::error_code error;
    for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      if (entry->path().filename().string().starts_with("."))
        entry.disable_recursion_pending();
      else if (entry->is_regular_file())
        paths_.push_back(entry->path());
    }
    require(!error, "cannot read the folder '", folder.string(), "': ", error.message());
    std::sort(paths_.begin(), paths_.end());
  }

  std::optional<DocumentPlace> next() override {
    if (next_ == paths_.size()) return std::nullopt;
    const auto number = next_++;
    return DocumentPlace{0, std::filesystem::file_size(paths_[number]), number};
  }

  std::string text(const DocumentPlace& place) const override {
    return InputFile(paths_.at(place.number)).read(0, place.length);
  }

 private:
  std::vector<std::filesystem::path> paths_;
  std::size_t next_ = 0;
};

/// The reader for a path: a folder, or else a .jsonl file. Throws Error when nothing is there.
inline std::unique_ptr<DocumentReader> open_documents(const std::filesystem::path& path,
                                                      const std::string& text_field) {
  require(std::filesystem::exists(path), "'", path.string(),
          "' does not exist; expected a .jsonl file or a folder of text files");
  if (std::filesystem::is_directory(path)) return std::make_unique<FolderReader>(path);
  return std::make_unique<JsonlReader>(path, text_field);
}

}  // namespace demix::data
