#pragma once
// What a checkpoint says about itself: the attributes of model.h5 and of the experts' files.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "demix/checkpoint/hdf5.hpp"
#include "demix/core/domain_name.hpp"
#include "demix/core/place.hpp"
#include "demix/model/config.hpp"
#include "demix/text/vocabulary_fingerprint.hpp"
#include "demix/version.hpp"

namespace demix::checkpoint {

inline constexpr std::uint64_t format_version = 1;
/// The demix release that writes; readers go by the format version alone.
inline constexpr const char* demix_version = DEMIX_VERSION;

/// What model.h5 says besides the numbers. `config.vocabulary` is the size of the dictionary, without the
/// tokens that a conditioning adds.
struct Metadata {
  std::string experiment;
  ModelConfig config;
  std::vector<std::string> domains;
  std::string vocabulary_fingerprint;
  std::uint64_t step = 0;
};

inline std::filesystem::path model_file(const std::filesystem::path& checkpoint) {
  return checkpoint / "model.h5";
}
inline std::filesystem::path expert_file(const std::filesystem::path& checkpoint, const std::string& domain) {
  return checkpoint / "experts" / (domain + ".h5");
}
/// Of the trainer, and the optimizer's state of the shared parameters.
inline std::filesystem::path state_file(const std::filesystem::path& checkpoint) {
  return checkpoint / "state.h5";
}
/// Of the optimizer's state of the experts, a file each.
inline std::filesystem::path state_folder(const std::filesystem::path& checkpoint) {
  return checkpoint / "state";
}
inline std::filesystem::path expert_state_file(const std::filesystem::path& checkpoint,
                                               const std::string& domain) {
  return state_folder(checkpoint) / (domain + ".h5");
}

namespace metadata_detail {

inline void write_version(const hdf5::Object& file) {
  hdf5::write_attribute(file, "format_version", format_version);
  hdf5::write_attribute(file, "demix_version", std::string(demix_version));
}

inline void require_version(const hdf5::Object& file) {
  const auto found = hdf5::read_attribute<std::uint64_t>(file, "format_version");
  require(found == format_version, file.name, ": format version ", found, ", but this program reads version ",
          format_version, "; it was written by demix ",
          [&] { return hdf5::read_attribute<std::string>(file, "demix_version"); });
}

/// `experts` is the number of domains in a model with experts, else 0.
inline void write(const hdf5::Object& file, const Metadata& metadata, std::uint64_t experts) {
  const ModelConfig& config = metadata.config;
  write_version(file);
  hdf5::write_attribute(file, "experiment", metadata.experiment);
  hdf5::write_attribute(file, "domains", metadata.domains);
  hdf5::write_attribute(file, "experts", experts);
  hdf5::write_attribute(file, "vocabulary_fingerprint", metadata.vocabulary_fingerprint);
  hdf5::write_attribute(file, "dictionary_size", std::uint64_t{config.vocabulary});
  hdf5::write_attribute(file, "step", metadata.step);
  hdf5::write_attribute(file, "layers", std::uint64_t{config.layers});
  hdf5::write_attribute(file, "d_model", std::uint64_t{config.d_model});
  hdf5::write_attribute(file, "heads", std::uint64_t{config.heads});
  hdf5::write_attribute(file, "d_ffn", std::uint64_t{config.d_ffn});
  hdf5::write_attribute(file, "tokens_per_sample", std::uint64_t{config.tokens_per_sample});
  hdf5::write_attribute(file, "activation", config.activation);
  hdf5::write_attribute(file, "positions", std::string(name_of(config.positions)));
  hdf5::write_attribute(file, "tied_embeddings", std::uint64_t{config.tied_embeddings});
  hdf5::write_attribute(file, "dropout", config.dropout);
}

inline Metadata read(const hdf5::Object& file) {
  require_version(file);
  const auto text = [&](const char* name) { return hdf5::read_attribute<std::string>(file, name); };
  const auto count = [&](const char* name) { return hdf5::read_attribute<std::uint64_t>(file, name); };
  Metadata metadata;
  metadata.experiment = text("experiment");
  metadata.domains = hdf5::read_strings(file, "domains");
  metadata.vocabulary_fingerprint = text("vocabulary_fingerprint");
  metadata.step = count("step");
  ModelConfig& config = metadata.config;
  config.vocabulary = count("dictionary_size");
  config.layers = count("layers");
  config.d_model = count("d_model");
  config.heads = count("heads");
  config.d_ffn = count("d_ffn");
  config.tokens_per_sample = count("tokens_per_sample");
  config.activation = text("activation");
  config.positions = positions_of(file.name + ": attribute 'positions'", text("positions"));
  config.tied_embeddings = count("tied_embeddings") != 0;
  config.dropout = hdf5::read_attribute<float>(file, "dropout");
  try {
    config.validate();
    require_domain_names(metadata.domains);
  } catch (const Error& error) {
    throw Error(concat(file.name, ": its attributes do not describe a model: ", error.what()));
  }
  require(config.vocabulary > 0, file.name, ": attribute 'dictionary_size' is 0");
  return metadata;
}

/// What an expert's file says, so that it can be judged without a model.
inline void write_expert(const hdf5::Object& file, const Metadata& metadata, const std::string& domain) {
  write_version(file);
  hdf5::write_attribute(file, "domain", domain);
  hdf5::write_attribute(file, "vocabulary_fingerprint", metadata.vocabulary_fingerprint);
  hdf5::write_attribute(file, "layers", std::uint64_t{metadata.config.layers});
  hdf5::write_attribute(file, "d_model", std::uint64_t{metadata.config.d_model});
  hdf5::write_attribute(file, "d_ffn", std::uint64_t{metadata.config.d_ffn});
  hdf5::write_attribute(file, "activation", metadata.config.activation);
}

}  // namespace metadata_detail

/// Opens an expert's file and throws Error unless it says that it belongs to `domain` of such a model.
inline hdf5::Object open_expert(const std::filesystem::path& path, const Metadata& metadata,
                                const std::string& domain) {
  require(std::filesystem::is_regular_file(path), path, ": the file of the expert of domain '", domain,
          "' is missing");
  auto file = hdf5::open_file(path);
  metadata_detail::require_version(file);
  const auto require_same = [&file](const char* name, const auto& found, const auto& expected) {
    require(found == expected, file.name, ": its ", name, " is ", found, ", but the model's is ", expected,
            "; this expert is of another model");
  };
  const auto count = [&file](const char* name) { return hdf5::read_attribute<std::uint64_t>(file, name); };
  const auto text = [&file](const char* name) { return hdf5::read_attribute<std::string>(file, name); };
  require(
      text("domain") == domain, file.name, ": the expert of domain '", [&] { return text("domain"); },
      "', expected '", domain, "'");
  require_same("layers", count("layers"), metadata.config.layers);
  require_same("d_model", count("d_model"), metadata.config.d_model);
  require_same("d_ffn", count("d_ffn"), metadata.config.d_ffn);
  require_same("activation", text("activation"), metadata.config.activation);
  const auto vocabulary = text("vocabulary_fingerprint");
  if (!text::vocabularies_agree(vocabulary, metadata.vocabulary_fingerprint))
    require_same("vocabulary_fingerprint", vocabulary, metadata.vocabulary_fingerprint);
  return file;
}

/// A checkpoint whose model.h5 has been read: what everything else in it is opened and loaded by.
struct Checkpoint {
  /// The checkpoint that `link` is or leads to. Checks what can be checked without the values: every
  /// attribute, and that each domain of a model with experts has a file, and nothing else does; hidden files
  /// are none. Opens no expert's file. Throws Error with what is missing or damaged.
  explicit Checkpoint(const std::filesystem::path& link) : path(resolve(link)) {
    const auto file = open_model();
    metadata = metadata_detail::read(file);
    const auto experts = hdf5::read_attribute<std::uint64_t>(file, "experts");
    has_experts = experts > 0;
    if (!has_experts) return;
    require(experts == metadata.domains.size(), file.name, ": ", experts, " experts for ",
            metadata.domains.size(), " domains");
    const std::set<std::string> known(metadata.domains.begin(), metadata.domains.end());
    std::set<std::string> missing = known;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(path / "experts", ignored)) {
      // Desktops (.DS_Store, ._law.h5), NFS (.nfs…) and editors leave hidden files; no domain's name is
      // hidden.
      if (entry.path().filename().string().starts_with('.')) continue;
      const auto name = entry.path().stem().string();
      require(known.contains(name) && entry.path().extension() == ".h5", entry.path(), ": no domain of ",
              file.name, " has this expert; remove the file, or add the expert to the model");
      missing.erase(name);
    }
    if (!missing.empty()) open_expert(*missing.begin());
  }

  /// Throws Error for one without experts.
  void require_experts() const {
    require(has_experts, path, ": a ", metadata.experiment, " model has no experts");
  }

  hdf5::Object open_model() const {
    const auto file = model_file(path);
    std::error_code ignored;
    require(std::filesystem::is_directory(path, ignored), path, ": not a checkpoint, which is a directory");
    require(std::filesystem::is_regular_file(file, ignored), path, ": not a checkpoint: it has no model.h5",
            std::filesystem::exists(path / "checkpoint_last", ignored)
                ? "; it is a folder of checkpoints, give one of them, such as its checkpoint_last"
                : "");
    return hdf5::open_file(file);
  }

  /// Throws Error unless the domain's expert is there and of this model.
  hdf5::Object open_expert(const std::string& domain) const {
    return checkpoint::open_expert(expert_file(path, domain), metadata, domain);
  }

  std::filesystem::path path;  // from the root, links followed
  Metadata metadata;
  bool has_experts = false;
};

/// What the checkpoint is. Throws Error like Checkpoint, and also where an expert's file is none, or of
/// another model.
inline Metadata read_metadata(const std::filesystem::path& path) {
  const Checkpoint checkpoint(path);
  if (checkpoint.has_experts)
    for (const auto& domain : checkpoint.metadata.domains) checkpoint.open_expert(domain);
  return checkpoint.metadata;
}

}  // namespace demix::checkpoint
