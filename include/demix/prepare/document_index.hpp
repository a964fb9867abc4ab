#pragma once
// The list of a source's documents with their sizes, kept on disk.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "demix/core/output_file.hpp"
#include "demix/prepare/documents.hpp"
#include "demix/prepare/ordered_pipeline.hpp"
#include "demix/prepare/text_hash.hpp"
#include "demix/prepare/white_space.hpp"

namespace demix::prepare {

/// Finds all documents of a source in one parallel pass that also checks each of them. Their places lie in a
/// temporary file, so memory does not grow with their number. Documents without a byte of text are left out.
class DocumentIndex {
 public:
  /// `scratch` is the temporary file; `report(documents)` is called now and then. Throws Error for a document
  /// that cannot be read.
  template <class Report>
  DocumentIndex(std::unique_ptr<DocumentReader> reader, const std::filesystem::path& scratch,
                std::size_t threads, Report&& report)
      : reader_(std::move(reader)), scratch_(std::make_unique<OutputFile>(scratch)) {
    run_in_order(
        threads, [this] { return next_places(); },
        [this](std::size_t, const std::vector<DocumentPlace>& places) { return examine(places); },
        [&](const std::vector<Entry>& entries) {
          append(entries);
          report(size_);
        });
    scratch_->flush();
    entries_ = std::make_unique<InputFile>(scratch_->partial_path());
  }

  std::uint64_t size() const { return size_; }
  std::uint64_t words() const { return words_; }
  std::uint64_t empty_documents() const { return empty_; }

  /// The words of document i. Threads may call this and the following at the same time.
  std::uint64_t words(std::uint64_t i) const { return entry(i).words; }
  /// Equal for identical texts.
  TextHash hash(std::uint64_t i) const { return entry(i).hash; }
  /// The bytes that reading document i costs.
  std::uint64_t source_bytes(std::uint64_t i) const { return entry(i).place.length; }
  /// The text of document i. Throws Error, also when it is not the one that was read at first.
  std::string text(std::uint64_t i) const {
    const Entry found = entry(i);
    std::string text = reader_->text(found.place);
    require(
        text_hash(text) == found.hash, [&] { return reader_->where(found.place); },
        ": the text was changed while it was being read; run this again");
    return text;
  }

 private:
  struct Entry {
    DocumentPlace place;
    std::uint64_t words;
    std::uint64_t text_bytes;
    TextHash hash;
  };
  static constexpr std::uint64_t chunk_bytes = std::uint64_t{1} << 20;
  static constexpr std::size_t chunk_documents = 4096;

  std::optional<std::vector<DocumentPlace>> next_places() {
    std::vector<DocumentPlace> places;
    for (std::uint64_t bytes = 0; bytes < chunk_bytes && places.size() < chunk_documents;) {
      const auto place = reader_->next();
      if (!place) break;
      places.push_back(*place);
      bytes += place->length;
    }
    if (places.empty()) return std::nullopt;
    return places;
  }

  std::vector<Entry> examine(const std::vector<DocumentPlace>& places) const {
    std::vector<Entry> entries;
    for (const auto& place : places) {
      const std::string text = reader_->text(place);
      entries.push_back({place, count_words(text), text.size(), text_hash(text)});
    }
    return entries;
  }

  void append(const std::vector<Entry>& entries) {
    for (const Entry& each : entries) {
      if (each.text_bytes == 0) {
        ++empty_;
        continue;
      }
      scratch_->write(&each, sizeof(each));
      words_ += each.words;
      ++size_;
    }
  }

  Entry entry(std::uint64_t i) const {
    Entry result;
    entries_->read(i * sizeof(Entry), &result, sizeof(Entry));
    return result;
  }

  std::unique_ptr<DocumentReader> reader_;
  std::unique_ptr<OutputFile> scratch_;
  std::unique_ptr<InputFile> entries_;
  std::uint64_t size_ = 0, words_ = 0, empty_ = 0;
};

}  // namespace demix::prepare
