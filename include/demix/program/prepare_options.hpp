#pragma once
// The command line of demix-prepare.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "demix/core/domain_name.hpp"
#include "demix/core/processors.hpp"
#include "demix/data/layout.hpp"
#include "demix/prepare/input_stream.hpp"
#include "demix/prepare/settings.hpp"
#include "demix/program/command_line.hpp"
#include "demix/text/tokenizer_json.hpp"

namespace demix::program {

/// What demix-prepare was asked to do: prepare, or print a split's text.
struct PrepareOptions {
  prepare::PrepareSettings prepare;
  std::optional<std::filesystem::path> decode;  // the prefix of a split's files
};

/// X, where a file of --input-dir is named X.jsonl or X.ndjson, or these with .gz; else empty. Throws
/// UsageError for other compressions of them.
inline std::string domain_of_file(const std::string& name) {
  for (const char* lines : {".jsonl", ".ndjson"}) {
    for (const char* suffix : {"", ".gz"})
      if (const std::string end = concat(lines, suffix); prepare::has_suffix(name, end))
        return name.substr(0, name.size() - end.size());
    for (const char* packed : {".xz", ".zst", ".bz2", ".lz4", ".zip"})
      if (prepare::has_suffix(name, concat(lines, packed)))
        throw UsageError(concat("--input-dir: '", name, "' is packed in a way other than gzip (", packed,
                                "); unpack it, or pass its text through a pipe: --input DOMAIN=<(...)"));
  }
  return "";
}

/// The domains of a folder: every X.jsonl (see domain_of_file) and every sub-folder, sorted by name. Names
/// that prepare::is_passed_over() picks are left out; all else goes to `ignored`. Throws UsageError.
inline std::vector<std::pair<std::string, std::filesystem::path>> list_inputs(
    const std::filesystem::path& folder, std::vector<std::filesystem::path>& ignored) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error))
    throw UsageError(concat("--input-dir: '", folder.string(), "' is not a folder"));
  std::vector<std::pair<std::string, std::filesystem::path>> inputs;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto& path = entry->path();
    const std::string name = path.filename().string();
    std::error_code unknown;
    if (prepare::is_passed_over(name)) continue;
    if (!entry->exists(unknown))
      throw UsageError(concat("--input-dir: '", path.string(), "' is a link to nothing; remove it"));
    if (entry->is_directory(unknown))
      inputs.emplace_back(name, path);
    else if (const auto domain = domain_of_file(name); !domain.empty())
      inputs.emplace_back(domain, path);
    else
      ignored.push_back(path);
  }
  if (error) throw UsageError(concat("--input-dir: cannot read '", folder.string(), "': ", error.message()));
  std::sort(inputs.begin(), inputs.end());
  std::sort(ignored.begin(), ignored.end());
  if (inputs.empty())
    throw UsageError(concat("--input-dir: '", folder.string(),
                            "' holds no domain; expected DOMAIN.jsonl files or sub-folders of text files",
                            ignored.empty() ? "" : ", found " + ignored.front().filename().string()));
  return inputs;
}

namespace prepare_options_detail {

inline void check_splits(const boost::program_options::variables_map& values,
                         const prepare::SplitSettings& splits) {
  const bool by_words = splits.train_words || splits.valid_words || splits.test_words;
  const bool by_fraction = !values["valid-fraction"].defaulted() || !values["test-fraction"].defaulted();
  if (by_words && by_fraction)
    throw UsageError(
        "--train-tokens, --valid-tokens and --test-tokens contradict --valid-fraction and --test-fraction");
  if (by_words && !(splits.valid_words && splits.test_words))
    throw UsageError("--train-tokens, --valid-tokens, --test-tokens: give all three, or only the latter two");
  const auto in_range = [](double fraction) { return fraction > 0 && fraction < 1; };
  if (!in_range(splits.valid_fraction) || !in_range(splits.test_fraction) ||
      splits.valid_fraction + splits.test_fraction >= 1)
    throw UsageError(concat("--valid-fraction ", splits.valid_fraction, ", --test-fraction ",
                            splits.test_fraction, ": each must be above 0, and both together below 1"));
}

inline void choose_vocabulary(const boost::program_options::variables_map& values,
                              prepare::PrepareSettings& settings) {
  const bool encoder = values.count("encoder-json"), merges = values.count("vocab-bpe");
  const bool reuse = values["reuse-vocabulary"].as<bool>();
  const bool whole = encoder && text::is_tokenizer_json(settings.encoder_json);
  if (whole && merges)
    throw UsageError(concat("--vocab-bpe: '", settings.encoder_json.string(),
                            "' is a tokenizer.json, which holds the merges too; leave --vocab-bpe out"));
  if (encoder != merges && !whole)
    throw UsageError(
        "--encoder-json and --vocab-bpe belong together; one is missing (a tokenizer.json alone "
        "holds both)");
  if (settings.dict && !encoder) throw UsageError("--dict needs --encoder-json and --vocab-bpe");
  if (encoder && reuse) throw UsageError("--reuse-vocabulary contradicts --encoder-json");
  const bool trains = !values["vocab-size"].defaulted() || !values["bpe-sample-bytes"].defaulted();
  if (trains && (encoder || reuse))
    throw UsageError(concat("--vocab-size and --bpe-sample-bytes train a vocabulary; ",
                            encoder ? "--encoder-json" : "--reuse-vocabulary",
                            " says to take one that exists"));
  settings.vocabulary = encoder ? prepare::PrepareSettings::VocabularySource::given
                        : reuse ? prepare::PrepareSettings::VocabularySource::reused
                                : prepare::PrepareSettings::VocabularySource::trained;
}

inline void collect_inputs(const std::vector<std::string>& inputs, const std::string& input_dir,
                           prepare::PrepareSettings& settings) {
  for (const auto& input : inputs) {
    const std::size_t equals = input.find('=');
    if (equals == std::string::npos || equals + 1 == input.size())
      throw UsageError(concat("--input: expected DOMAIN=PATH, found '", input, "'"));
    settings.inputs.emplace_back(input.substr(0, equals), input.substr(equals + 1));
  }
  if (!input_dir.empty())
    for (auto& input : list_inputs(input_dir, settings.ignored)) settings.inputs.push_back(std::move(input));
  if (settings.inputs.empty()) throw UsageError("no input: give --input DOMAIN=PATH or --input-dir DIR");
  for (std::size_t i = 0; i < settings.inputs.size(); ++i) {
    const auto& [domain, path] = settings.inputs[i];
    require_domain_name<UsageError>(domain, concat("--input ", domain, "=", path.string(), ": "));
    if (data::is_data_bin_file(domain))
      throw UsageError(
          concat("--input: domain name '", domain, "' is taken: a data-bin has a file of that name"));
    for (std::size_t j = 0; j < i; ++j)
      if (settings.inputs[j].first == domain)
        throw UsageError(concat("domain '", domain, "' is given twice: '", settings.inputs[j].second.string(),
                                "' and '", path.string(), "'"));
  }
}

}  // namespace prepare_options_detail

/// Reads the command line. Returns false after printing --help. Throws UsageError.
inline bool parse_prepare_options(int argc, char** argv, PrepareOptions& result) {
  namespace po = boost::program_options;
  namespace detail = prepare_options_detail;
  constexpr std::size_t least_vocabulary = 4 + 256, most_vocabulary = std::numeric_limits<Token>::max();
  CommandLine line{
      "demix-prepare --input DOMAIN=PATH [--input ...] --output DATA-BIN [options]\n"
      "       demix-prepare --decode PREFIX [options]",
      "Turns the text of every domain into training, validation and test data (a data-bin), or prints the "
      "text\nof a split back.",
      "demix-prepare --input law=law.jsonl --input code=src/ --output data-bin --vocab-size 8192",
      {},
      {"document-prefix"}};
  prepare::PrepareSettings& s = result.prepare;
  std::vector<std::string> inputs;
  std::string input_dir, output, encoder_json, vocab_bpe, dict, prefix, decode;
  std::size_t train_tokens = 0, valid_tokens = 0, test_tokens = 0;
  int threads = 0;
  const auto file = [](std::string& variable) { return po::value(&variable)->value_name("FILE"); };
  using namespace option;
  // clang-format off
  po::options_description in("Input and output", help_columns), vocabulary("Vocabulary", help_columns),
      splits("Splits", help_columns), run("Run", help_columns);
  in.add_options()
    ("input", po::value(&inputs)->value_name("DOMAIN=PATH"), "a domain's text: .jsonl in a file or a pipe, or a folder of text files, one document each; plain or gzip")
    ("input-dir", po::value(&input_dir)->value_name("DIR"), "a folder in which every X.jsonl (or .ndjson, .gz) and every sub-folder is a domain")
    ("text-field", po::value(&s.text_field)->default_value(s.text_field)->value_name("NAME"), "field of the .jsonl objects that holds the text")
    ("output", po::value(&output)->value_name("DIR"), "the data-bin to write; domains are added when it exists")
    ("lines", po::bool_switch(), "end every line with </s>, not every document, as the original does: lines are stripped, and a newline is no token")
    ("decode", po::value(&decode)->value_name("PREFIX"), "print the text of PREFIX.bin instead, for instance of data-bin/law/valid_law");
  vocabulary.add_options()
    ("vocab-size", whole(s.vocabulary_size, least_vocabulary, most_vocabulary)->default_value(s.vocabulary_size), "train a BPE of this many symbols on the inputs, the 4 reserved ones included")
    ("bpe-sample-bytes", count(s.bpe_sample_bytes, 1)->default_value(s.bpe_sample_bytes), "text to train it on, evenly over the domains")
    ("encoder-json", file(encoder_json), "use this BPE instead: GPT-2's encoder.json, Hugging Face's vocab.json, or its tokenizer.json alone")
    ("vocab-bpe", file(vocab_bpe), "its merges: GPT-2's vocab.bpe, or Hugging Face's merges.txt")
    ("dict", file(dict), "the dict.txt that numbers its symbols for the model (default: all, in order)")
    ("reuse-vocabulary", po::bool_switch(), "use the vocabulary of the data-bin --output, to add domains to it")
    ("document-prefix", po::value(&prefix)->value_name("TEXT"), "text before every document (default: '<|endoftext|> ' with a given "
     "BPE or --lines, else nothing, and the data-bin's own where domains are added)");
  splits.add_options()
    ("valid-fraction", positive(s.splits.valid_fraction)->default_value(s.splits.valid_fraction, "0.02"), "of the words, for validation")
    ("test-fraction", positive(s.splits.test_fraction)->default_value(s.splits.test_fraction, "0.02"), "of the words, for test")
    ("train-tokens", count(train_tokens, 1), "words for training (default: all that the others leave)")
    ("valid-tokens", count(valid_tokens, 1), "words for validation, instead of the fraction")
    ("test-tokens", count(test_tokens, 1), "words for test, instead of the fraction")
    ("keep-duplicates-together", po::bool_switch(&s.keep_duplicates_together), "deal identical documents of a domain to one split")
    ("seed", seed(s.seed.value)->default_value(s.seed.value), "of the shuffle that deals documents to splits");
  run.add_options()
    ("threads", option::threads(threads), "processor threads (default: all); the output does not depend on it");
  // clang-format on
  line.options.add(in).add(vocabulary).add(splits).add(run);
  po::variables_map values;
  if (!line.parse(argc, argv, values)) return false;

  s.encoder_json = encoder_json;
  s.vocab_bpe = vocab_bpe;
  if (values.count("dict")) s.dict = dict;
  if (values.count("document-prefix")) {
    s.document_prefix = prefix;
    try {
      static_cast<void>(nlohmann::json(prefix).dump());
    } catch (const nlohmann::json::type_error&) {
      throw UsageError("--document-prefix: not UTF-8, in which summary.json keeps it");
    }
  }
  if (values["lines"].as<bool>()) s.sequence_unit = prepare::SequenceUnit::line;
  detail::choose_vocabulary(values, s);
  if (values.count("decode")) {
    for (const auto& [name, value] : values) {
      const bool reads = name == "decode" || name == "encoder-json" || name == "vocab-bpe" ||
                         name == "dict" || name == "document-prefix" || name == "config";
      if (!reads && !value.defaulted()) throw UsageError(concat("--decode contradicts --", name));
    }
    result.decode = decode;
    return true;
  }
  detail::collect_inputs(inputs, input_dir, s);
  if (output.empty()) throw UsageError("--output: which folder?");
  s.output = output;
  if (!s.output.has_filename()) s.output = s.output.parent_path();
  const auto given = [&](const char* name, std::size_t value) {
    return values.count(name) ? std::optional<std::uint64_t>(value) : std::nullopt;
  };
  s.splits.train_words = given("train-tokens", train_tokens);
  s.splits.valid_words = given("valid-tokens", valid_tokens);
  s.splits.test_words = given("test-tokens", test_tokens);
  detail::check_splits(values, s.splits);
  s.threads =
      threads > 0 ? static_cast<std::size_t>(threads) : static_cast<std::size_t>(available_processors());
  return true;
}

}  // namespace demix::program
