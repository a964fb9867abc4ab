#pragma once
// demix-prepare: text to a data-bin, or a split of a data-bin back to text.

#include <filesystem>

#include "demix/core/output_file.hpp"
#include "demix/core/stop_signal.hpp"
#include "demix/prepare/decode.hpp"
#include "demix/prepare/prepare.hpp"
#include "demix/prepare/summary.hpp"
#include "demix/program/prepare_options.hpp"
#include "demix/program/run_program.hpp"

namespace demix::program {

namespace prepare_detail {

/// The vocabulary of a split's data-bin, unless the command line names another one.
inline text::VocabularyFiles vocabulary_of(const std::filesystem::path& data_bin,
                                           const prepare::PrepareSettings& settings) {
  auto files = text::VocabularyFiles::in(data_bin);
  if (!settings.encoder_json.empty()) {
    files.encoder_json = settings.encoder_json;
    files.vocab_bpe = settings.vocab_bpe;
  }
  if (settings.dict) files.dict = *settings.dict;
  return files;
}

inline int run(int argc, char** argv) {
  PrepareOptions options;
  if (!parse_prepare_options(argc, argv, options)) return 0;
  const prepare::PrepareSettings& settings = options.prepare;
  if (options.decode) {
    const auto folder = std::filesystem::absolute(*options.decode).parent_path(),
               data_bin = folder.parent_path();
    const auto prefix = settings.document_prefix
                            ? *settings.document_prefix
                            : prepare::document_prefix_of(data_bin, folder.filename().string());
    OutputFile out("/dev/stdout");
    prepare::decode_split(*options.decode, text::Vocabulary(vocabulary_of(data_bin, settings)),
                          prepare::sequence_unit_of(data_bin), prefix, out);
  } else {
    StopSignal stop("demix-prepare");
    stop.defer("what was begun is removed");
    prepare::Preparation(settings, [&] { stop.poll(); }).run();
  }
  return 0;
}

}  // namespace prepare_detail

/// The whole program.
inline int prepare(int argc, char** argv) {
  return run_program("demix-prepare", [&] { return prepare_detail::run(argc, argv); });
}

}  // namespace demix::program
