#pragma once
// From text to a data-bin: documents, splits, vocabulary, token files, summary.

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demix/core/json_text.hpp"
#include "demix/core/output_file.hpp"
#include "demix/core/place.hpp"
#include "demix/data/indexed_file_writer.hpp"
#include "demix/data/layout.hpp"
#include "demix/prepare/document_index.hpp"
#include "demix/prepare/duplicates.hpp"
#include "demix/prepare/ordered_pipeline.hpp"
#include "demix/prepare/report.hpp"
#include "demix/prepare/sequences.hpp"
#include "demix/prepare/settings.hpp"
#include "demix/prepare/splits.hpp"
#include "demix/prepare/staging_folder.hpp"
#include "demix/prepare/summary.hpp"
#include "demix/text/bpe_trainer.hpp"
#include "demix/text/vocabulary.hpp"
#include "demix/text/vocabulary_fingerprint.hpp"

namespace demix::prepare {

/// One run of demix-prepare. The data-bin appears, or grows by whole domains, only at the end. The result
/// does not depend on the number of threads.
class Preparation {
 public:
  /// Checks the output, that the inputs are there, and a vocabulary that exists. `poll` is called often, by
  /// one thread at a time; what it throws ends the run as an error does, and leaves nothing. Throws Error,
  /// and UsageError for settings that do not fit what is there.
  explicit Preparation(
      const PrepareSettings& settings, std::function<void()> poll = [] {})
      : settings_(settings),
        poll_(std::move(poll)),
        staging_(settings.output),
        adds_(adds_to_data_bin(settings, staging_)),
        unit_(choose_unit()),
        prefix_(choose_prefix()) {
    for (const auto& [domain, path] : settings.inputs) {
      require_source(path);
      require_output_outside(path);
      require(std::filesystem::create_directory(staging_.path() / domain), "domain '", domain,
              "': the file system of '", settings.output,
              "' does not tell this name from that of another domain; choose another name");
    }
  }

  /// Does it all and prints the summary. Throws Error, in the names that the user knows.
  void run() {
    try {
      prepare();
    } catch (const UsageError&) {
      throw;
    } catch (const Error& error) {
      throw Error(staging_.in_users_terms(error.what()));
    } catch (const std::filesystem::filesystem_error& error) {
      throw Error(staging_.in_users_terms(error.what()));
    }
  }

 private:
  struct Input {
    std::string domain;
    std::unique_ptr<DocumentIndex> documents;
    SplitPlan plan;
    std::array<std::uint64_t, 3> shared;  // documents of a split that are also in another one
  };
  struct Encoded {
    std::vector<Token> tokens;
    std::vector<std::size_t> ends;  // of each sequence in `tokens`
    SplitSummary summary;
  };
  static constexpr std::uint64_t chunk_bytes = std::uint64_t{1} << 20;
  static constexpr std::size_t chunk_documents = 4096;

  /// Whether the output is a data-bin already, to which domains are added.
  static bool adds_to_data_bin(const PrepareSettings& settings, const StagingFolder& staging) {
    using Source = PrepareSettings::VocabularySource;
    namespace fs = std::filesystem;
    const fs::path& output = settings.output;
    if (staging.target_is_empty()) {
      if (settings.vocabulary == Source::reused)
        throw UsageError(concat("--reuse-vocabulary: '", output.string(), "' is not a data-bin yet"));
      return false;
    }
    require(fs::exists(output / "dict.txt"), "--output: '", output,
            "' exists and is not a data-bin (it has no dict.txt); choose another folder");
    if (settings.vocabulary == Source::trained)
      throw UsageError(concat("--output: '", output.string(),
                              "' is a data-bin already; --reuse-vocabulary adds domains to it"));
    for (const auto& [domain, path] : settings.inputs)
      require(!fs::exists(fs::symlink_status(output / domain)), "--output: '", output, "' has a domain '",
              domain, "' already; remove its folder or choose another name");
    static_cast<void>(read_summary(output));  // before the work
    return true;
  }

  /// A data-bin has one unit.
  SequenceUnit choose_unit() const {
    if (!adds_) return settings_.sequence_unit.value_or(SequenceUnit::document);
    const SequenceUnit own = sequence_unit_of(settings_.output);
    if (settings_.sequence_unit.value_or(own) != own)
      throw UsageError(concat("--lines: in '", settings_.output.string(), "' </s> ends a ", name_of(own),
                              "; leave --lines out to add domains of that kind, or prepare a new data-bin"));
    return own;
  }

  std::string choose_prefix() const {
    const bool needs_none =
        settings_.vocabulary == PrepareSettings::VocabularySource::trained && unit_ == SequenceUnit::document;
    auto prefix = settings_.document_prefix.value_or(adds_        ? document_prefix_of(settings_.output)
                                                     : needs_none ? ""
                                                                  : original_document_prefix);
    if (unit_ == SequenceUnit::line && prefix.find_first_of("\n\r") != std::string::npos)
      throw UsageError(
          "--document-prefix: it holds the end of a line, expected one line where </s> ends lines");
    return prefix;
  }

  /// Throws UsageError when what is written would be read as text of the folder `input`.
  void require_output_outside(const std::filesystem::path& input) const {
    if (std::filesystem::is_directory(input) && lies_in(settings_.output, input))
      throw UsageError(concat("--output: '", settings_.output.string(), "' lies in the input folder '",
                              input.string(), "'; choose a place outside it"));
  }

  void prepare() {
    using Source = PrepareSettings::VocabularySource;
    for (const auto& path : settings_.ignored)
      progress_.message(
          concat("ignored '", path.string(),
                 "', which is neither X.jsonl nor a folder; --input DOMAIN=FILE reads any file"));
    if (adds_ && unit_ == SequenceUnit::line && !settings_.sequence_unit)
      progress_.message(concat("</s> ends every line, as in '", settings_.output.string(), "'"));
    if (settings_.vocabulary != Source::trained) take_vocabulary();
    for (const auto& [domain, path] : settings_.inputs) read_input(domain, path);
    if (settings_.vocabulary == Source::trained) train_vocabulary(text::VocabularyFiles::in(staging_.path()));
    const text::Vocabulary vocabulary(text::VocabularyFiles::in(staging_.path()));
    std::vector<std::unique_ptr<text::TextEncoder>> encoders;
    for (std::size_t t = 0; t < settings_.threads; ++t)
      encoders.push_back(std::make_unique<text::TextEncoder>(vocabulary));
    std::vector<DomainSummary> summaries;
    for (const auto& input : inputs_) summaries.push_back(encode_domain(input, vocabulary, encoders));
    inputs_.clear();
    publish(vocabulary, summaries);
    progress_.message(concat("wrote ", settings_.output.string()));
    print_table(summaries);
  }

  void read_input(const std::string& domain, const std::filesystem::path& path) {
    // No domain's name begins with a dot.
    const std::string scratch = (staging_.path() / concat(".", inputs_.size())).string();
    auto documents =
        std::make_unique<DocumentIndex>(open_documents(path, settings_.text_field, scratch + ".text", poll_),
                                        scratch + ".documents", settings_.threads, [&](std::uint64_t n) {
                                          poll_();
                                          progress_.update(concat(domain, ": reading, ", n, " documents"));
                                        });
    require(documents->size() > 0, "domain '", domain, "': '", path, "' holds no documents");
    SplitPlan plan =
        settings_.keep_duplicates_together
            ? plan_splits_without_shared(domain, *documents, settings_.splits, settings_.seed, scratch, poll_)
            : plan_splits(
                  domain, documents->size(), documents->words(),
                  [&](std::uint64_t i) { return documents->words(i); }, settings_.splits, settings_.seed);
    const auto shared = count_shared_documents(*documents, plan, scratch, poll_);
    std::string note;
    if (documents->empty_documents() > 0)
      note = concat("; left out ", documents->empty_documents(), " documents without text");
    if (shared[1] + shared[2] > 0)
      note += concat("; ", shared[1], " of the validation and ", shared[2],
                     " of the test documents are also in another split (--keep-duplicates-together)");
    progress_.message(
        concat(domain, ": ", documents->size(), " documents, ", documents->words(), " words", note));
    inputs_.push_back({domain, std::move(documents), std::move(plan), shared});
  }

  /// The vocabulary that the user names, or that of the data-bin, once it is known to be sound and the
  /// data-bin's.
  void take_vocabulary() {
    const bool given = settings_.vocabulary == PrepareSettings::VocabularySource::given;
    const auto to = text::VocabularyFiles::in(staging_.path());
    text::VocabularyFiles from =
        given ? text::VocabularyFiles{settings_.encoder_json, settings_.vocab_bpe, to.dict}
              : text::VocabularyFiles::in(settings_.output);
    if (given && settings_.dict)
      from.dict = *settings_.dict;
    else if (given)
      write_plain_dict(from);
    const text::Vocabulary vocabulary(from);
    if (adds_) require_own_vocabulary(vocabulary);
    copy_vocabulary(from, to);
  }

  /// On the sequences of the training documents, the same number of bytes of every domain.
  void train_vocabulary(const text::VocabularyFiles& files) {
    text::BpeTrainer trainer;
    const std::uint64_t share = settings_.bpe_sample_bytes / inputs_.size();
    for (const auto& input : inputs_) {
      const SplitRange range = input.plan.ranges[0];
      std::uint64_t left = share;
      for (std::uint64_t position = range.first; position < range.last && left > 0; ++position) {
        poll_();
        const std::string text = input.documents->text(input.plan.order(position)).substr(0, left);
        for_each_sequence(unit_, prefix_ + text, [&](std::string_view sequence) { trainer.add(sequence); });
        left -= text.size();
      }
    }
    const std::size_t reserved = unk_token + 1;
    const std::size_t symbols = trainer.train(settings_.vocabulary_size - reserved, poll_);
    trainer.save(files);
    progress_.message(concat("vocabulary: ", symbols + reserved, " symbols trained",
                             symbols + reserved < settings_.vocabulary_size
                                 ? concat(", fewer than the ", settings_.vocabulary_size,
                                          " asked for: no further pair occurs twice in the sample")
                                 : std::string()));
  }

  void copy_vocabulary(const text::VocabularyFiles& from, const text::VocabularyFiles& to) {
    write_copy(from.dict, to.dict);
    if (from.vocab_bpe.empty()) return split_tokenizer_json(from.encoder_json, to);
    write_copy(from.encoder_json, to.encoder_json);
    write_copy(from.vocab_bpe, to.vocab_bpe);
  }

  /// Writes what is in a tokenizer.json as an encoder.json and a vocab.bpe.
  void split_tokenizer_json(const std::filesystem::path& from, const text::VocabularyFiles& to) {
    const auto tokenizer = text::read_tokenizer_json(from);
    OutputFile encoder(to.encoder_json), merges(to.vocab_bpe);
    encoder.write(tokenizer.vocab.dump(-1, ' ', true));
    merges.write("#version: 0.2\n");
    for (const auto& [left, right] : tokenizer.merges) merges.write(left + " " + right + "\n");
    encoder.commit();
    merges.commit();
    for (const auto& part : tokenizer.ignored)
      progress_.message(concat("warning: ", from.string(), ": demix does without ", part,
                               ": tokens may differ from Hugging Face's"));
  }

  /// A dict.txt of all symbols in the order of their ids.
  static void write_plain_dict(const text::VocabularyFiles& files) {
    const auto bpe = text::BytePairEncoding::load(files.encoder_json, files.vocab_bpe);
    OutputFile dict(files.dict);
    for (std::size_t id = 0; id < bpe.size(); ++id) dict.write(concat(id, " 0\n"));
    dict.commit();
  }

  void require_own_vocabulary(const text::Vocabulary& vocabulary) const {
    const auto dictionary = text::Dictionary::load(settings_.output / "dict.txt");
    require(
        dictionary.fingerprint() == vocabulary.dictionary().fingerprint(), "the vocabulary of '",
        settings_.output, "' (", dictionary.size(), " symbols, fingerprint ",
        [&] { return dictionary.fingerprint(); }, ") is not the given one (", vocabulary.dictionary().size(),
        ", ", [&] { return vocabulary.dictionary().fingerprint(); },
        "); --reuse-vocabulary takes the one that is there");
    require(
        text::vocabularies_agree(text::vocabulary_fingerprint(settings_.output), vocabulary.fingerprint()),
        "the BPE of '", settings_.output,
        "' is not the given one; --reuse-vocabulary takes the one that is there");
  }

  DomainSummary encode_domain(const Input& input, const text::Vocabulary& vocabulary,
                              std::vector<std::unique_ptr<text::TextEncoder>>& encoders) {
    const auto folder = staging_.path() / input.domain;
    write_copy(staging_.path() / "dict.txt", folder / "dict.txt");
    DomainSummary result{input.domain, {}};
    std::uint64_t documents_done = 0;
    for (std::size_t s = 0; s < split_names.size(); ++s) {
      data::TokenFileWriter writer(folder / data::split_file_name(input.domain, split_names[s]),
                                   vocabulary.dictionary().size());
      SplitSummary& summary = result.splits[s];
      summary.shared_documents = input.shared[s];
      std::uint64_t position = input.plan.ranges[s].first;
      run_in_order(
          settings_.threads, [&] { return next_chunk(input, position, input.plan.ranges[s].last); },
          [&](std::size_t worker, const std::vector<std::uint64_t>& chunk) {
            return encode(input, chunk, *encoders[worker]);
          },
          [&](const Encoded& encoded) {
            poll_();
            std::size_t first = 0;
            for (const std::size_t last : encoded.ends) {
              writer.add(std::span(encoded.tokens).subspan(first, last - first));
              first = last;
            }
            add(summary, encoded.summary);
            documents_done += encoded.summary.documents;
            progress_.update(concat(input.domain, ": encoded ", documents_done, " of ",
                                    input.documents->size(), " documents"));
          });
      writer.finish();
      const auto asked = std::array{settings_.splits.train_words, settings_.splits.valid_words,
                                    settings_.splits.test_words}[s];
      if (asked && summary.words < *asked)
        progress_.message(concat(input.domain, ": only ", summary.words, " words were left for the ",
                                 split_names[s], " split, which was to have ", *asked));
    }
    return result;
  }

  /// The documents at the next positions: about a megabyte.
  static std::optional<std::vector<std::uint64_t>> next_chunk(const Input& input, std::uint64_t& position,
                                                              std::uint64_t last) {
    if (position == last) return std::nullopt;
    std::vector<std::uint64_t> chunk;
    for (std::uint64_t bytes = 0; position < last && bytes < chunk_bytes && chunk.size() < chunk_documents;) {
      chunk.push_back(input.plan.order(position++));
      bytes += input.documents->source_bytes(chunk.back());
    }
    return chunk;
  }

  Encoded encode(const Input& input, const std::vector<std::uint64_t>& chunk,
                 text::TextEncoder& encoder) const {
    Encoded result;
    for (const std::uint64_t i : chunk) {
      const std::string text = prefix_ + input.documents->text(i);
      for_each_sequence(unit_, text, [&](std::string_view sequence) {
        encoder.encode(sequence, result.tokens);
        result.tokens.push_back(eos_token);
        result.ends.push_back(result.tokens.size());
      });
      result.summary.bytes += text.size() - prefix_.size();
      result.summary.words += input.documents->words(i);
    }
    result.summary.documents = chunk.size();
    result.summary.sequences = result.ends.size();
    result.summary.tokens = result.tokens.size();
    result.summary.unknown_tokens =
        static_cast<std::uint64_t>(std::count(result.tokens.begin(), result.tokens.end(), unk_token));
    return result;
  }

  static void add(SplitSummary& sum, const SplitSummary& part) {
    sum.documents += part.documents;
    sum.words += part.words;
    sum.bytes += part.bytes;
    sum.sequences += part.sequences;
    sum.tokens += part.tokens;
    sum.unknown_tokens += part.unknown_tokens;
  }

  void publish(const text::Vocabulary& vocabulary, const std::vector<DomainSummary>& summaries) {
    nlohmann::ordered_json summary =
        adds_ ? read_summary(settings_.output) : nlohmann::ordered_json::object();
    summary["vocabulary_size"] = vocabulary.dictionary().size();
    summary["vocabulary_fingerprint"] = vocabulary.fingerprint();
    if (!summary.contains("document_prefix"))
      summary["document_prefix"] = adds_ ? document_prefix_of(settings_.output) : prefix_;
    summary["sequence_unit"] = name_of(unit_);
    for (const auto& domain : summaries) {
      auto& entry = summary["domains"][domain.name] = to_json(domain);
      if (summary["document_prefix"] != prefix_) entry["document_prefix"] = prefix_;
    }
    OutputFile file(staging_.path() / "summary.json");
    file.write(json_text(summary, 2) + "\n");
    file.commit();
    // The last one makes a data-bin of the folder, or its domains part of it.
    std::vector<std::string> entries;
    for (const auto& domain : summaries) entries.push_back(domain.name);
    for (const char* name : {"encoder.json", "vocab.bpe"})
      if (!adds_ || !std::filesystem::exists(settings_.output / name)) entries.emplace_back(name);
    entries.emplace_back("summary.json");
    if (!adds_) entries.emplace_back("dict.txt");
    staging_.publish(entries);
  }

  const PrepareSettings& settings_;
  const std::function<void()> poll_;
  StagingFolder staging_;
  const bool adds_;
  const SequenceUnit unit_;
  const std::string prefix_;
  PrepareProgress progress_;
  std::vector<Input> inputs_;
};

}  // namespace demix::prepare
