#pragma once
// demix-eval: the perplexity of a checkpoint on a split, per domain.

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "demix/checkpoint/metadata.hpp"
#include "demix/core/json_text.hpp"
#include "demix/core/memory_limit.hpp"
#include "demix/core/output_file.hpp"
#include "demix/core/standard_streams.hpp"
#include "demix/data/layout.hpp"
#include "demix/eval/perplexity.hpp"
#include "demix/program/command_line.hpp"
#include "demix/program/load.hpp"
#include "demix/program/run_program.hpp"

namespace demix::program {

namespace eval_detail {

struct EvalOptions {
  std::string data, checkpoint, split = "test", domain, expert, domain_token, output, json;
  std::size_t batch_size = 0, max_batches = 0;
  int threads = 0;
};

/// The domain whose expert, or token, the model uses on text of `domain`.
inline DomainId conditioning_domain(const eval::Scorer& model, const EvalOptions& options,
                                    const std::string& domain) {
  if (!model.tells_domains_apart()) return DomainId(0);
  const std::string& forced = model.has_experts() ? options.expert : options.domain_token;
  const char* option = model.has_experts() ? "--expert" : "--domain-token";
  const std::string& name = forced.empty() ? domain : forced;
  if (const auto found = find_domain(model.domains(), name)) return *found;
  std::string known;
  for (const auto& each : model.domains()) known += " " + each;
  throw UsageError(concat("the model has no domain '", name, "'; ", option, " chooses one of:", known));
}

inline nlohmann::ordered_json evaluate(const LoadedModel& loaded, const EvalOptions& options,
                                       const StopSignal& stop) {
  eval::Scorer& model = *loaded.scorer;
  const auto& metadata = loaded.metadata;
  require_vocabulary_of(options.data, options.checkpoint, metadata);
  if (!options.expert.empty() && !model.has_experts())
    throw UsageError("--expert: a " + metadata.experiment + " model has no experts");
  if (!options.domain_token.empty() && model.has_experts())
    throw UsageError("--domain-token: a " + metadata.experiment + " model has experts; --expert chooses one");
  if (!options.domain_token.empty() && model.prefix_length() == 0)
    throw UsageError("--domain-token: a " + metadata.experiment + " model reads no domain token");

  const auto domains = options.domain.empty() ? model.domains() : std::vector<std::string>{options.domain};
  nlohmann::ordered_json result{{"checkpoint", options.checkpoint},
                                {"experiment", metadata.experiment},
                                {"step", metadata.step},
                                {"split", options.split},
                                {"results", nlohmann::ordered_json::array()}};
  // All texts are opened first: one that is missing is noticed before the others are scored.
  std::vector<DomainId> scored_as;
  std::vector<data::BlockDataset> datasets;
  for (const auto& domain : domains) {
    scored_as.push_back(conditioning_domain(model, options, domain));
    datasets.push_back(data::open_split(options.data, domain, options.split, metadata.config.vocabulary,
                                        model.text_length()));
  }
  std::vector<eval::Score> scores;
  std::printf("%-16s %-16s %12s %10s %12s %10s\n", "domain", "scored as", "perplexity", "loss", "tokens",
              "tokens/s");
  for (std::size_t d = 0; d < domains.size(); ++d) {
    const auto& domain = domains[d];
    const DomainId as = scored_as[d];
    const std::string as_name = model.tells_domains_apart() ? model.domains()[index(as)] : "-";
    const auto sequences =
        options.batch_size ? options.batch_size : eval::default_sequences(model.text_length());
    require_memory<UsageError>(
        least_batch_bytes(model.config(), static_cast<double>(std::min(sequences, datasets[d].blocks())), 1),
        "--batch-size ", sequences, ": scoring");
    const auto score =
        eval::evaluate(model, datasets[d], as, sequences, options.max_batches, [&] { stop.poll(); });
    scores.push_back(score);
    std::printf("%-16s %-16s %12.4f %10.4f %12zu %10.0f\n", domain.c_str(), as_name.c_str(),
                score.perplexity(), score.loss(), score.tokens, score.tokens_per_second());
    flush_standard_output();
    nlohmann::ordered_json row{{"domain", domain}};
    if (model.tells_domains_apart()) row[model.has_experts() ? "expert" : "domain_token"] = as_name;
    row["perplexity"] = eval::perplexity_json(score.perplexity());
    row["loss"] = score.loss();
    row["tokens"] = score.tokens;
    row["tokens_per_second"] = score.tokens_per_second();
    result["results"].push_back(row);
  }
  const double average = eval::average_perplexity(scores);
  if (domains.size() > 1) std::printf("%-16s %-16s %12.4f\n", "average", "", average);
  result["average_perplexity"] = eval::perplexity_json(average);
  return result;
}

/// What --output has of a result: a line per domain, in the original system's words. The model is the
/// checkpoint, or the file of the expert that scored.
inline std::string lines_of(const nlohmann::ordered_json& result) {
  std::string lines;
  for (const auto& row : result["results"]) {
    std::filesystem::path model = result["checkpoint"].get<std::string>();
    if (row.contains("expert")) model = checkpoint::expert_file(model, row["expert"].get<std::string>());
    const nlohmann::ordered_json line{
        {"model", model.string()},
        {"dataset", concat(result["split"].get<std::string>(), "_", row["domain"].get<std::string>())},
        {"ppl", row["perplexity"]}};
    lines += json_text(line) + "\n";
  }
  return lines;
}

/// Throws UsageError. Returns false after printing --help.
inline bool parse_options(int argc, char** argv, EvalOptions& options) {
  CommandLine line{"demix-eval DATA CHECKPOINT [options]",
                   "Scores a checkpoint on a split of a data-bin, each domain by its own expert or token.",
                   "demix-eval data-bin runs/demix/checkpoint_last --split test --json result.json",
                   {"data", "checkpoint"}};
  using namespace option;
  // clang-format off
  line.options.add_options()
    ("data", string(options.data, "DIR")->required(), "the data-bin folder (also the first argument)")
    ("checkpoint", string(options.checkpoint, "DIR")->required(), "the checkpoint (also the second argument)")
    ("split", string(options.split, "NAME")->default_value("test"), "train, valid or test")
    ("domain", string(options.domain, "NAME"), "one domain of DATA (default: all the model was trained on)")
    ("expert", string(options.expert, "NAME"), "score by this domain's expert instead of the text's own")
    ("domain-token", string(options.domain_token, "NAME"), "condition on this domain's token instead of the text's own")
    ("batch-size", count(options.batch_size, 1), "sequences per batch (default: about 2048 tokens)")
    ("max-batches", count(options.max_batches), "score the first N batches only; 0: all (default)")
    ("output", string(options.output, "FILE"), "also write an object per domain (model, dataset, ppl) as JSON lines")
    ("json", string(options.json, "FILE"), "also write the result as JSON")
    ("threads", threads(options.threads), "processor threads (default: OMP_NUM_THREADS, or all)");
  // clang-format on
  boost::program_options::variables_map values;
  if (!line.parse(argc, argv, values)) return false;
  require_one_of("--split", options.split, {"train", "valid", "test"});
  options.threads = thread_count(options.threads);
  return true;
}

}  // namespace eval_detail

/// The whole program, for main alone: see limit_spinning.
inline int evaluate(int argc, char** argv, const ModelList& models) {
  limit_spinning(argv);
  return run_program("demix-eval", [&] {
    eval_detail::EvalOptions options;
    if (!eval_detail::parse_options(argc, argv, options)) return 0;
    StopSignal stop("demix-eval");
    stop.defer("this batch");
    std::optional<OutputFile> output, json;
    if (!options.output.empty()) output.emplace(options.output, "--output");
    if (!options.json.empty()) json.emplace(options.json, "--json");
    const auto result =
        eval_detail::evaluate(load_model(models, options.checkpoint, options.threads), options, stop);
    if (output) {
      output->write(eval_detail::lines_of(result));
      output->commit();
    }
    if (json) {
      json->write(json_text(result, 2) + "\n");
      json->commit();
    }
    return 0;
  });
}

}  // namespace demix::program
