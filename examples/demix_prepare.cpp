// Turns text into a data-bin, or a split of a data-bin back into text.
//
//   demix-prepare --input law=law.jsonl --input code=src/ --output data-bin --vocab-size 8192
//
// prints a table of documents, bytes and tokens per domain and split, which data-bin/summary.json repeats.

#include "demix/core/output_file.hpp"
#include "demix/core/run_program.hpp"
#include "demix/core/stop_signal.hpp"
#include "demix/data/decode.hpp"
#include "demix/data/prepare.hpp"
#include "demix/data/prepare_options.hpp"

namespace {

/// The vocabulary of a split's data-bin, unless the command line names another one.
demix::data::VocabularyFiles vocabulary_of(const std::filesystem::path& data_bin,
                                           const demix::data::PrepareSettings& settings) {
  auto files = demix::data::VocabularyFiles::in(data_bin);
  if (!settings.encoder_json.empty()) {
    files.encoder_json = settings.encoder_json;
    files.vocab_bpe = settings.vocab_bpe;
  }
  if (settings.dict) files.dict = *settings.dict;
  return files;
}

int body(int argc, char** argv) {
  namespace data = demix::data;
  data::PrepareOptions options;
  if (!data::parse_prepare_options(argc, argv, options)) return 0;
  const data::PrepareSettings& settings = options.prepare;
  if (options.decode) {
    const auto folder = std::filesystem::absolute(*options.decode).parent_path(),
               data_bin = folder.parent_path();
    const auto prefix = settings.document_prefix
                            ? *settings.document_prefix
                            : data::document_prefix_of(data_bin, folder.filename().string());
    demix::OutputFile out("/dev/stdout");
    data::decode_split(*options.decode, data::Vocabulary(vocabulary_of(data_bin, settings)), prefix, out);
  } else {
    demix::StopSignal stop("demix-prepare");
    stop.defer("what was begun is removed");
    data::Preparation(settings, [&] { stop.poll(); }).run();
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return demix::run_program("demix-prepare", [&] { return body(argc, argv); });
}
