#pragma once
// demix-experts: the experts of a checkpoint as parts. Every operation but list writes a new checkpoint; the
// one that it reads stays as it is.

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "demix/checkpoint/compose.hpp"
#include "demix/core/file_hash.hpp"
#include "demix/program/command_line.hpp"
#include "demix/program/run_program.hpp"

namespace demix::program {

namespace experts_detail {

struct ExpertsOptions {
  std::string command, checkpoint, output, as;
  std::vector<std::string> experts;
};

inline void list(const std::filesystem::path& path) {
  const checkpoint::Checkpoint from(path);
  const auto& metadata = from.metadata;
  std::vector<std::size_t> parameters;  // a broken expert is noticed before anything is printed
  if (from.has_experts)
    for (const auto& name : metadata.domains)
      parameters.push_back(checkpoint::hdf5::stored_layout(from.open_expert(name)).size());
  const auto body = from.open_model();
  std::printf(
      "experiment    %s, step %llu\narchitecture  %s\nvocabulary    %s\nbody          %zu parameters\n",
      metadata.experiment.c_str(), static_cast<unsigned long long>(metadata.step),
      metadata.config.describe().c_str(), metadata.vocabulary_fingerprint.c_str(),
      checkpoint::hdf5::stored_layout(body).size());
  if (!from.has_experts) {
    std::printf("experts       none\n");
    return;
  }
  std::printf("\n%-24s %12s %14s  %s\n", "expert", "parameters", "bytes", "hash of the file");
  for (std::size_t e = 0; e < parameters.size(); ++e) {
    const auto& name = metadata.domains[e];
    const auto file = checkpoint::expert_file(path, name);
    std::printf("%-24s %12zu %14llu  %s\n", name.c_str(), parameters[e],
                static_cast<unsigned long long>(std::filesystem::file_size(file)),
                hash_digits(hash_of_file(file)).c_str());
  }
}

/// "NAME=WEIGHT".
inline std::pair<std::string, double> parse_weight(const std::string& text) {
  const auto equals = std::min(text.rfind('='), text.size());
  const auto weight = equals < text.size() ? parse_real(text.substr(equals + 1)) : std::nullopt;
  if (equals == 0 || !weight)
    throw UsageError(concat("merge: expected NAME=WEIGHT such as news=0.5, found '", text, "'"));
  return {text.substr(0, equals), *weight};
}

inline void run(const ExpertsOptions& options) {
  const std::filesystem::path path(options.checkpoint), out(options.output);
  const auto& command = options.command;
  require_one_of("command", command, {"list", "add", "replace", "remove", "rename", "merge", "extract"});
  const auto& experts = options.experts;
  const auto expect = [&](bool right, const char* what) {
    if (!right)
      throw UsageError(concat(command, ": expected ", what, ", found ", experts.size(), " arguments"));
  };
  if (options.output.empty() != (command == "list"))
    throw UsageError(command == "list" ? "list writes nothing: leave --output out"
                                       : concat(command, " needs --output, the checkpoint to write"));
  if (options.as.empty() == (command == "merge"))
    throw UsageError(command == "merge" ? "merge needs --as, the name of the average" : "--as is for merge");
  if (command == "list") {
    expect(experts.empty(), "no names");
    return list(resolve(path));
  }
  if (command == "add" || command == "replace") {
    expect(!experts.empty(), "one or more CHECKPOINT:NAME or CHECKPOINT:NAME=NEW");
    std::vector<checkpoint::ExpertSource> sources;
    for (const auto& text : experts) sources.push_back(checkpoint::parse_expert_source(text, path));
    (command == "add" ? checkpoint::add_experts : checkpoint::replace_experts)(path, sources, out);
  } else if (command == "remove") {
    expect(!experts.empty(), "one or more names");
    checkpoint::remove_experts(path, experts, out);
  } else if (command == "rename") {
    expect(experts.size() == 2, "the old and the new name");
    checkpoint::rename_expert(path, experts[0], experts[1], out);
  } else if (command == "merge") {
    std::vector<std::pair<std::string, double>> weights;
    for (const auto& text : experts) weights.push_back(parse_weight(text));
    checkpoint::merge_experts(path, weights, options.as, out);
  } else {
    expect(experts.size() == 1, "one name");
    checkpoint::extract_expert(path, experts[0], out);
  }
  std::printf("wrote %s\n", options.output.c_str());
}

}  // namespace experts_detail

/// The whole program.
inline int experts(int argc, char** argv) {
  return run_program("demix-experts", [&] {
    namespace po = boost::program_options;
    experts_detail::ExpertsOptions options;
    CommandLine line{
        "demix-experts COMMAND CHECKPOINT [EXPERT...] [options]",
        "Experts of a checkpoint as parts. COMMAND is one of\n"
        "  list CHECKPOINT                            what the checkpoint is, and its experts\n"
        "  add CHECKPOINT FROM... --output OUT        FROM is CHECKPOINT:NAME, or CHECKPOINT:NAME=NEW, with "
        "the "
        "same\n"
        "                                             body\n"
        "  replace CHECKPOINT FROM... --output OUT    FROM in the places of CHECKPOINT's experts of these "
        "names\n"
        "  remove CHECKPOINT NAME... --output OUT\n"
        "  rename CHECKPOINT OLD NEW --output OUT\n"
        "  merge CHECKPOINT NAME=WEIGHT... --as NEW --output OUT\n"
        "                                             a further expert, the weighted average of others\n"
        "  extract CHECKPOINT NAME --output OUT       the body and one expert as a dense model\n"
        "OUT is a new checkpoint, complete or not there at all; CHECKPOINT stays as it is.",
        "demix-experts add runs/demix/checkpoint_last runs/news/checkpoint_last:news --output runs/with_news",
        {"command", "checkpoint", "experts..."}};
    // clang-format off
    line.options.add_options()
      ("command", po::value(&options.command)->required()->value_name("NAME"), "what to do (also the first argument)")
      ("checkpoint", po::value(&options.checkpoint)->required()->value_name("DIR"), "the checkpoint to read (also the second argument)")
      ("experts", po::value(&options.experts)->value_name("EXPERT"), "what the command takes (also all further arguments)")
      ("output", po::value(&options.output)->value_name("DIR"), "the checkpoint to write")
      ("as", po::value(&options.as)->value_name("NAME"), "the name of a merged expert");
    // clang-format on
    po::variables_map values;
    if (!line.parse(argc, argv, values)) return 0;
    experts_detail::run(options);
    return 0;
  });
}

}  // namespace demix::program
