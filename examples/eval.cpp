// Perplexity of a checkpoint on a split, per domain.
//
//   demix-eval data-bin runs/demix/checkpoint_last --split test
//
// prints one line per domain (perplexity, loss in nats, tokens, tokens per second) and the average
// perplexity.

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "demix/core/json_text.hpp"
#include "demix/core/options.hpp"
#include "demix/core/output_file.hpp"
#include "demix/core/processors.hpp"
#include "demix/core/run_program.hpp"
#include "demix/core/stop_signal.hpp"
#include "demix/data/dictionary.hpp"
#include "demix/data/layout.hpp"
#include "demix/data/vocabulary.hpp"
#include "demix/device/cpu.hpp"
#include "demix/eval/load_model.hpp"
#include "demix/eval/perplexity.hpp"
#include "demix/model/memory.hpp"

namespace {

struct EvalOptions {
  std::string data, checkpoint, split = "test", domain, expert, domain_token, json;
  std::size_t batch_size = 0, max_batches = 0;
  int threads = 0;
};

/// The domain whose expert, or token, the model uses on text of `domain`.
template <class Model>
demix::DomainId conditioning_domain(const Model& model, const EvalOptions& options,
                                    const std::string& domain) {
  const std::string& forced = Model::has_experts ? options.expert : options.domain_token;
  const char* option = Model::has_experts ? "--expert" : "--domain-token";
  if constexpr (!Model::has_experts && Model::prefix_length == 0) return demix::DomainId(0);
  const std::string& name = forced.empty() ? domain : forced;
  const auto& domains = model.domains();
  for (std::size_t d = 0; d < domains.size(); ++d)
    if (domains[d] == name) return demix::DomainId(static_cast<int>(d));
  std::string known;
  for (const auto& each : domains) known += " " + each;
  throw demix::UsageError(
      demix::concat("the model has no domain '", name, "'; ", option, " chooses one of:", known));
}

template <class Model>
nlohmann::ordered_json evaluate(Model& model, const demix::checkpoint::Metadata& metadata,
                                const EvalOptions& options, const demix::StopSignal& stop) {
  using namespace demix;
  const auto dictionary = data::Dictionary::load(std::filesystem::path(options.data) / "dict.txt");
  require_same_vocabulary({options.data, data::vocabulary_fingerprint(options.data)},
                          {options.checkpoint, metadata.vocabulary_fingerprint});
  if (!options.expert.empty() && !Model::has_experts)
    throw UsageError("--expert: a " + metadata.experiment + " model has no experts");
  if (!options.domain_token.empty() && Model::prefix_length == 0)
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
    datasets.push_back(
        data::open_split(options.data, domain, options.split, dictionary.size(), model.text_length()));
  }
  std::vector<eval::Score> scores;
  std::printf("%-16s %-16s %12s %10s %12s %10s\n", "domain", "scored as", "perplexity", "loss", "tokens",
              "tokens/s");
  for (std::size_t d = 0; d < domains.size(); ++d) {
    const auto& domain = domains[d];
    const DomainId as = scored_as[d];
    const bool conditioned = Model::has_experts || Model::prefix_length > 0;
    const std::string as_name = conditioned ? model.domains()[index(as)] : "-";
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
    if (conditioned) row[Model::has_experts ? "expert" : "domain_token"] = as_name;
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

int body(int argc, char** argv) {
  EvalOptions options;
  demix::CommandLine line{
      "demix-eval DATA CHECKPOINT [options]",
      "Scores a checkpoint on a split of a data-bin, each domain by its own expert or token.",
      "demix-eval data-bin runs/demix/checkpoint_last --split test --json result.json",
      {"data", "checkpoint"}};
  using namespace demix::option;
  // clang-format off
  line.options.add_options()
    ("data", text(options.data, "DIR")->required(), "the data-bin folder (also the first argument)")
    ("checkpoint", text(options.checkpoint, "DIR")->required(), "the checkpoint (also the second argument)")
    ("split", text(options.split, "NAME")->default_value("test"), "train, valid or test")
    ("domain", text(options.domain, "NAME"), "one domain of DATA (default: all the model was trained on)")
    ("expert", text(options.expert, "NAME"), "score by this domain's expert instead of the text's own")
    ("domain-token", text(options.domain_token, "NAME"), "condition on this domain's token instead of the text's own")
    ("batch-size", count(options.batch_size, 1), "sequences per batch (default: about 2048 tokens)")
    ("max-batches", count(options.max_batches), "score the first N batches only; 0: all (default)")
    ("json", text(options.json, "FILE"), "also write the result as JSON")
    ("threads", threads(options.threads), "processor threads (default: OMP_NUM_THREADS, or all)");
  // clang-format on
  boost::program_options::variables_map values;
  if (!line.parse(argc, argv, values)) return 0;
  demix::require_one_of("--split", options.split, {"train", "valid", "test"});
  use_threads(options.threads);

  demix::StopSignal stop("demix-eval");
  stop.defer("this batch");
  std::optional<demix::OutputFile> json;
  if (values.count("json")) json.emplace(options.json, "--json");
  demix::device::Cpu device;
  const auto result = demix::eval::with_model(
      device, options.checkpoint,
      [&](auto& model, const auto& metadata) { return evaluate(model, metadata, options, stop); });
  if (json) {
    json->write(demix::json_text(result, 2) + "\n");
    json->commit();
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  demix::limit_spinning(argv);
  return demix::run_program("demix-eval", [&] { return body(argc, argv); });
}
