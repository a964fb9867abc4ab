#pragma once
// Where documents come from: a .jsonl file or a folder of text files, read document by document.

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/input_file.hpp"
#include "demix/core/output_file.hpp"
#include "demix/prepare/input_stream.hpp"

namespace demix::prepare {

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
  /// The file, and the line where it has several documents, for messages.
  virtual std::string where(const DocumentPlace& place) const = 0;
};

namespace documents_detail {

/// Puts 0 for numbers that no double holds (1e999) and for the NaN, Infinity and -Infinity that Python
/// writes, byte for byte as long. Returns whether there were any.
inline bool replace_strange_numbers(std::string& json) {
  const auto in_word = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+' || c == '.';
  };
  bool found = false, in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (in_string && json[i] == '\\') {
      ++i;
    } else if (json[i] == '"') {
      in_string = !in_string;
    } else if (!in_string && in_word(json[i])) {
      const std::size_t first = i;
      while (i + 1 < json.size() && in_word(json[i + 1])) ++i;
      const std::string word = json.substr(first, i + 1 - first);
      const bool named = word == "NaN" || word == "Infinity" || word == "-Infinity";
      const bool number = word.find_first_not_of("0123456789+-.eE") == std::string::npos;
      if (!named && !(number && std::isinf(std::strtod(word.c_str(), nullptr)))) continue;
      std::fill_n(json.begin() + static_cast<std::ptrdiff_t>(first), word.size(), ' ');
      json[first] = '0';
      found = true;
    }
  }
  return found;
}

/// A line of a .jsonl file. Throws Error, which begins with `where`.
inline nlohmann::json parse_line(std::string line, const std::string& where) {
  for (bool again = true;;) {
    try {
      return nlohmann::json::parse(line);
    } catch (const nlohmann::json::exception& error) {
      if (std::exchange(again, false) && replace_strange_numbers(line)) continue;
      std::string reason = error.what();
      reason.erase(0, std::min(reason.find("column "), reason.size()));
      constexpr std::size_t enough = 200;  // it repeats what was read, maybe megabytes
      if (reason.size() > enough) reason = reason.substr(0, enough) + "...";
      throw Error(concat(where, ": not JSON in UTF-8, one object a line: ", reason,
                         " (a folder of text files instead of .jsonl keeps any bytes)"));
    }
  }
}

}  // namespace documents_detail

/// One JSON object a line, the text under one of its fields. Blank lines are skipped.
class JsonlReader final : public DocumentReader {
 public:
  /// What cannot be read twice (gzip, a pipe) is kept, decompressed, in the temporary file `spool`. `poll` is
  /// called while this waits, and may throw. Throws Error.
  JsonlReader(const std::filesystem::path& path, std::string text_field, const std::filesystem::path& spool,
              std::function<void()> poll)
      : text_field_(std::move(text_field)) {
    std::filesystem::path readable = path;
    InputStream stream(path, std::move(poll));
    if (!std::filesystem::is_regular_file(path) || stream.is_gzip()) {
      spool_ = std::make_unique<OutputFile>(spool);
      readable = spool_->partial_path();
      std::vector<char> bytes(std::size_t{1} << 18);
      while (const std::size_t count = stream.read(bytes.data(), bytes.size()))
        spool_->write(bytes.data(), count);
      spool_->flush();
    }
    file_ = std::make_unique<InputFile>(readable, path.string());
    lines_.open(readable, std::ios::binary);
    require(lines_.good(), "cannot open '", path, "'");
  }

  std::optional<DocumentPlace> next() override {
    while (std::getline(lines_, line_)) {
      const DocumentPlace place{offset_, line_.size(), ++number_};
      offset_ += line_.size() + 1;
      if (line_.find_first_not_of(" \t\r") != std::string::npos) return place;
    }
    require(lines_.eof() && !lines_.bad(), "cannot read '", file_->name(), "' after line ", number_);
    return std::nullopt;
  }

  std::string text(const DocumentPlace& place) const override {
    const std::string here = where(place);
    auto object = documents_detail::parse_line(file_->read(place.offset, place.length), here);
    require(object.is_object(), here, ": expected a JSON object, found ", object.type_name());
    const auto field = object.find(text_field_);
    if (field == object.end()) {
      std::string fields;
      for (const auto& [name, value] : object.items()) fields += " " + name;
      throw Error(concat(here, ": no field '", text_field_, "'; it has:",
                         fields.empty() ? std::string(" none") : fields, ". --text-field chooses the field"));
    }
    require(field->is_string(), here, ": the field '", text_field_, "' is ", field->type_name(),
            ", expected a string");
    return std::move(field->get_ref<std::string&>());
  }

  std::string where(const DocumentPlace& place) const override {
    return concat(file_->name(), ":", place.number);
  }

 private:
  std::string text_field_;
  std::unique_ptr<OutputFile> spool_;
  std::unique_ptr<InputFile> file_;
  std::ifstream lines_;
  std::string line_;
  std::uint64_t offset_ = 0, number_ = 0;
};

/// A folder of text files and its sub-folders: one document a file, in the order of their paths, byte for
/// byte; those whose names end in .gz decompressed. Links are followed. Names that
/// is_passed_over() picks are skipped. Keeps the paths in memory.
class FolderReader final : public DocumentReader {
 public:
  /// `poll` is called often, and may throw. Throws Error for what can be no document: a link to nothing, or
  /// back to a folder that it stands in, a pipe, a device, and a file that is compressed in another way than
  /// gzip.
  FolderReader(const std::filesystem::path& folder, std::function<void()> poll) : poll_(std::move(poll)) {
    list(folder);
    std::sort(paths_.begin(), paths_.end());
  }

  std::optional<DocumentPlace> next() override {
    if (next_ == paths_.size()) return std::nullopt;
    const auto number = next_++;
    std::error_code error;
    const auto size = std::filesystem::file_size(paths_[number], error);
    require(!error, "cannot read '", paths_[number], "': ", error);
    return DocumentPlace{0, size, number};
  }

  std::string text(const DocumentPlace& place) const override {
    const auto& path = paths_.at(place.number);
    if (has_suffix(path.filename().string(), ".gz")) return InputStream(path, [] {}).read_all();
    return InputFile(path).read(0, place.length);
  }

  std::string where(const DocumentPlace& place) const override { return paths_.at(place.number).string(); }

 private:
  void list(const std::filesystem::path& folder) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::path real = fs::canonical(folder, error);
    const bool is_loop = std::find(open_.begin(), open_.end(), real) != open_.end();
    require(!is_loop, "'", folder, "' is a link back to '", real,
            "', a folder that it stands in; remove the link");
    open_.push_back(real);
    for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
      poll_();
      const fs::path& path = entry->path();
      const std::string name = path.filename().string();
      if (is_passed_over(name)) continue;
      std::error_code unknown;
      const auto status = entry->status(unknown);
      if (fs::is_directory(status)) {
        list(path);
        continue;
      }
      require(fs::exists(status), "'", path, [&] {
        return entry->is_symlink() ? "' is a link to nothing; remove it, or put back what it points to"
                                   : "' cannot be read: " + unknown.message();
      });
      require(fs::is_regular_file(status), "'", path,
              "' is neither a file nor a folder, and no document; move it away");
      for (const char* suffix : {".xz", ".zst", ".bz2", ".zip", ".7z", ".tar", ".tar.gz", ".tgz"})
        require(!has_suffix(name, suffix), "'", path, "' is packed (", suffix,
                "), expected text files, plain or in gzip (.gz); unpack it, or move it away");
      paths_.push_back(path);
    }
    require(!error, "cannot read the folder '", folder, "': ", error);
    open_.pop_back();
  }

  std::function<void()> poll_;
  std::vector<std::filesystem::path> open_;  // the folders that are being listed
  std::vector<std::filesystem::path> paths_;
  std::size_t next_ = 0;
};

/// Throws Error unless something can be opened under `path`; a pipe is not touched.
inline void require_source(const std::filesystem::path& path) {
  std::error_code error;
  require(std::filesystem::exists(path, error), "'", path,
          "' does not exist; expected a .jsonl file or a folder of text files");
  require(::access(path.c_str(), R_OK) == 0, "cannot read '", path, "': ", std::strerror(errno));
}

/// The reader for a path: a folder, or else .jsonl in a file or a pipe. `spool` and `poll` are the readers'.
/// Throws Error when nothing is there.
inline std::unique_ptr<DocumentReader> open_documents(
    const std::filesystem::path& path, const std::string& text_field, const std::filesystem::path& spool,
    std::function<void()> poll = [] {}) {
  require_source(path);
  if (std::filesystem::is_directory(path)) return std::make_unique<FolderReader>(path, std::move(poll));
  return std::make_unique<JsonlReader>(path, text_field, spool, std::move(poll));
}

}  // namespace demix::prepare
