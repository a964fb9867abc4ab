#pragma once
// demix-mix: the perplexity of a mixture of a model's experts, and the posterior over them.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "demix/core/json_text.hpp"
#include "demix/core/live_line.hpp"
#include "demix/core/memory_limit.hpp"
#include "demix/core/output_file.hpp"
#include "demix/core/standard_streams.hpp"
#include "demix/data/layout.hpp"
#include "demix/eval/expert_losses.hpp"
#include "demix/eval/prior.hpp"
#include "demix/program/command_line.hpp"
#include "demix/program/load.hpp"
#include "demix/program/posterior_plot.hpp"
#include "demix/program/run_program.hpp"

namespace demix::program {

namespace mix_detail {

using eval::Ensemble;
using eval::PosteriorOver;

struct MixOptions {
  std::string data, checkpoint, domain, mode, split, prior, output, json, plot;
  std::vector<Ensemble> ensembles;
  std::vector<PosteriorOver> posteriors;
  std::vector<std::string> experts;
  std::size_t top_k = 0, first_segment = 0, batch_size = 0, max_batches = 0;
  int threads = 1;
};

/// Every ensemble with every posterior; a simple average has none.
inline std::vector<eval::Mixture> mixtures_of(const MixOptions& options,
                                              const std::vector<std::string>& experts) {
  std::vector<eval::Mixture> mixtures;
  for (const Ensemble ensemble : options.ensembles)
    for (const PosteriorOver over : options.posteriors) {
      if (ensemble == Ensemble::simple_average && over != options.posteriors.front()) continue;
      mixtures.emplace_back(ensemble, over,
                            ensemble == Ensemble::cached_prior
                                ? eval::read_prior("--prior", options.prior, over, experts)
                                : eval::uniform_prior(experts.size()));
    }
  return mixtures;
}

/// The losses of every expert alone; not finite where it was not computed on all of the text.
class Singles {
 public:
  explicit Singles(std::size_t experts) : sums_(experts, 0.0) {}
  void add(const eval::ExpertLosses& losses) {
    for (std::size_t b = 0; b < losses.sequences(); ++b) {
      for (std::size_t j = 0; j < sums_.size(); ++j)
        for (std::size_t t = 0; t < losses.lengths[b]; ++t) sums_[j] += losses.at(j, b, t);
      tokens_ += losses.lengths[b];
    }
  }
  double loss(std::size_t j) const { return sums_[j] / static_cast<double>(tokens_); }

 private:
  std::vector<double> sums_;
  std::size_t tokens_ = 0;
};

inline void print_table(const std::vector<eval::Mixture>& mixtures, const std::vector<std::string>& experts,
                        const Singles& singles) {
  std::printf("%-16s %-16s %12s %10s %12s\n", "ensemble", "posterior over", "perplexity", "loss", "tokens");
  for (const auto& m : mixtures)
    std::printf("%-16s %-16s %12.4f %10.4f %12zu\n", eval::name_of(m.ensemble()).c_str(),
                eval::name_of(m.over()), m.perplexity(), m.loss(), m.tokens());
  const auto& first = mixtures.front();
  std::printf("\nThe posterior's moving average is that of %s over %s.\n",
              eval::name_of(first.ensemble()).c_str(), eval::name_of(first.over()));
  std::printf("%-16s %-16s %12s %10s\n", "expert", "posterior", "alone", "loss");
  for (std::size_t j = 0; j < experts.size(); ++j) {
    std::printf("%-16s %-16.6f ", experts[j].c_str(), first.average_posterior()[j]);
    if (std::isfinite(singles.loss(j)))
      std::printf("%12.4f %10.4f\n", std::exp(singles.loss(j)), singles.loss(j));
    else
      std::printf("%12s %10s\n", "-", "-");
  }
}

/// What the outputs call exp_avg_posterior: the moving average, or a cached prior, which stays what it is, as
/// the original system writes it.
inline std::vector<double> average_or_cached(const eval::Mixture& mixture) {
  return mixture.ensemble() == Ensemble::cached_prior ? mixture.prior() : mixture.average_posterior();
}

/// A line of --output.
inline nlohmann::ordered_json line_of(const eval::Mixture& mixture, std::size_t batch,
                                      const std::vector<std::string>& experts) {
  return {{"ensemble", eval::name_of(mixture.ensemble())},
          {"posterior_over", eval::name_of(mixture.over())},
          {"batch", batch},
          {"experts", experts},
          {"ppl", eval::perplexity_json(mixture.perplexity())},
          {"posterior", mixture.batch_posteriors().back()},
          {"exp_avg_posterior", average_or_cached(mixture)}};
}

inline nlohmann::ordered_json result_of(const std::vector<eval::Mixture>& mixtures,
                                        const std::vector<std::string>& experts, const Singles& singles) {
  auto results = nlohmann::ordered_json::array(), single = nlohmann::ordered_json::array();
  for (const auto& m : mixtures)
    results.push_back({{"ensemble", eval::name_of(m.ensemble())},
                       {"posterior_over", eval::name_of(m.over())},
                       {"perplexity", eval::perplexity_json(m.perplexity())},
                       {"loss", m.loss()},
                       {"posterior", m.batch_posteriors().back()},
                       {"exp_avg_posterior", average_or_cached(m)}});
  for (std::size_t j = 0; j < experts.size(); ++j)
    if (std::isfinite(singles.loss(j)))
      single.push_back({{"expert", experts[j]},
                        {"perplexity", eval::perplexity_json(std::exp(singles.loss(j)))},
                        {"loss", singles.loss(j)}});
  return {
      {"tokens", mixtures.front().tokens()}, {"experts", experts}, {"results", results}, {"single", single}};
}

/// The files that a run writes, created before its work.
struct MixOutputs {
  std::optional<OutputFile> output, json, plot;
};

inline void mix(const LoadedModel& loaded, const MixOptions& options, MixOutputs& outputs,
                const StopSignal& stop) {
  eval::Scorer& model = *loaded.scorer;
  const auto& metadata = loaded.metadata;
  require_vocabulary_of(options.data, options.checkpoint, metadata);
  const auto experts = loaded.expert_names();
  const auto dataset = data::open_split(options.data, options.domain, options.split,
                                        metadata.config.vocabulary, model.text_length());
  eval::MixSettings settings;
  settings.experts = loaded.experts;
  settings.sequences = options.batch_size ? options.batch_size : eval::default_sequences(model.text_length());
  const auto sequences = static_cast<double>(std::min(settings.sequences, dataset.blocks()));
  require_memory<UsageError>(
      least_batch_bytes(model.config(), sequences, 1) +
          (options.top_k ? least_cache_bytes(model.config(), sequences * static_cast<double>(experts.size()))
                         : 0),
      "--batch-size ", settings.sequences, ": mixing");
  settings.max_batches = options.max_batches;
  settings.top_k = options.top_k;
  settings.first_segment =
      options.first_segment ? options.first_segment : std::max<std::size_t>(1, model.text_length() / 8);
  if (options.top_k >= experts.size())
    throw UsageError(concat("--top-k ", options.top_k, " is not less than the ", experts.size(), " experts"));
  if (settings.first_segment >= model.text_length())
    throw UsageError(concat("--first-segment ", settings.first_segment, " leaves nothing of sequences of ",
                            model.text_length(), " tokens"));

  auto mixtures = mixtures_of(options, experts);
  Singles singles(experts.size());
  const std::size_t blocks = (dataset.blocks() + settings.sequences - 1) / settings.sequences,
                    batches = settings.max_batches ? std::min(settings.max_batches, blocks) : blocks;
  std::size_t batch = 0;
  LiveLine line;
  eval::score_mixtures(model, dataset, settings, mixtures, [&](const eval::ExpertLosses& losses) {
    stop.poll();
    if (settings.top_k == 0) singles.add(losses);
    ++batch;
    if (outputs.output) {
      for (const auto& m : mixtures) outputs.output->write(json_text(line_of(m, batch, experts)) + "\n");
      outputs.output->flush();
    }
    if (line.terminal())
      line.show(concat("batch ", batch, "/", batches, "  perplexity ", mixtures.front().perplexity()));
  });
  line.clear();
  if (outputs.output) outputs.output->commit();
  if (outputs.json) {
    nlohmann::ordered_json result{{"checkpoint", options.checkpoint},
                                  {"experiment", metadata.experiment},
                                  {"domain", options.domain},
                                  {"split", options.split}};
    result.update(result_of(mixtures, experts, singles));
    outputs.json->write(json_text(result, 2) + "\n");
    outputs.json->commit();
  }
  print_table(mixtures, experts, singles);
  flush_standard_output();
  if (outputs.plot)
    plot_posterior(*outputs.plot, options.plot,
                   concat("Posterior of the experts on ", options.domain, " (", options.split, ", ",
                          eval::name_of(mixtures.front().ensemble()), " over ",
                          eval::name_of(mixtures.front().over()), ")"),
                   experts, mixtures.front());
}

/// Also creates the outputs. Throws UsageError, and Error for an output that cannot be written.
inline bool parse_options(int argc, char** argv, MixOptions& options, MixOutputs& outputs) {
  using namespace option;
  CommandLine line{
      "demix-mix DATA CHECKPOINT --domain NAME [options]",
      "Scores text with the mixture of a model's experts (of a domain-token model: of its tokens), "
      "weighted by their\nposterior probability. --mode estimate finds a prior on validation text, "
      "--mode eval uses it on test text.",
      "demix-mix data-bin runs/demix/checkpoint_last --domain news --mode estimate --output news.jsonl\n"
      "  demix-mix data-bin runs/demix/checkpoint_last --domain news --prior news.jsonl",
      {"data", "checkpoint"}};
  std::string ensembles, posteriors, experts;
  // clang-format off
  line.options.add_options()
    ("data", string(options.data, "DIR")->required(), "the data-bin folder (also the first argument)")
    ("checkpoint", string(options.checkpoint, "DIR")->required(), "the checkpoint (also the second argument)")
    ("domain", string(options.domain, "NAME")->required(), "the domain of DATA to score")
    ("mode", string(options.mode, "NAME")->default_value("eval"), "estimate: the first 100 batches of the valid split, updating_prior; "
     "eval: the test split, cached_prior. The options below override each")
    ("split", string(options.split, "NAME"), "train, valid or test")
    ("ensemble", string(ensembles, "A,B,..."), "one or more of simple_average (no posterior), uniform_prior, updating_prior "
     "(the moving average of the posteriors so far, a new batch weighs 0.3) and cached_prior (--prior)")
    ("posterior", string(posteriors, "A,B")->default_value(eval::name_of(eval::default_posterior)), "what the posterior of a token looks at: prefix, all tokens before it in "
     "its sequence; previous_token, the one before it; or both")
    ("prior", string(options.prior, "P,P,...|FILE"), "for cached_prior: probabilities in the order of the experts, or the --output of an estimate")
    ("experts", string(experts, "A,B,..."), "mix these only: NAME, or CHECKPOINT:NAME from another checkpoint with the same body; "
     "=NEW behind either gives it another name (default: all)")
    ("top-k", count(options.top_k, 1), "behind its first segment, a sequence is scored by its N most probable experts only")
    ("first-segment", count(options.first_segment, 1), "tokens of the first segment (default: an eighth of a sequence)")
    ("batch-size", count(options.batch_size, 1), "sequences per batch (default: about 2048 tokens)")
    ("max-batches", count(options.max_batches), "score the first N batches only; 0: all")
    ("output", string(options.output, "FILE"), "write an object per batch (ppl, posterior, exp_avg_posterior: the posterior's moving average, or with cached_prior that prior) as JSON lines; until the end to .FILE.partial beside it")
    ("json", string(options.json, "FILE"), "also write the final result as JSON")
    ("plot", string(options.plot, "FILE"), "draw the posterior over positions and batches, .svg or .png (needs gnuplot)")
    ("threads", threads(options.threads), "processor threads (default: OMP_NUM_THREADS, or all)");
  // clang-format on
  po::variables_map values;
  if (!line.parse(argc, argv, values)) return false;
  const bool estimate = require_one_of("--mode", options.mode, {"estimate", "eval"}) == "estimate";
  if (!values.count("split")) options.split = estimate ? "valid" : "test";
  require_one_of("--split", options.split, {"train", "valid", "test"});
  if (!values.count("ensemble")) ensembles = estimate ? "updating_prior" : "cached_prior";
  for (const auto& name : split_list("--ensemble", ensembles)) {
    const auto& all = eval::ensemble_names();
    const auto at = std::find(all.begin(), all.end(), require_one_of("--ensemble", name, all)) - all.begin();
    options.ensembles.push_back(static_cast<Ensemble>(at));
  }
  for (const auto& name : split_list("--posterior", posteriors))
    options.posteriors.push_back(eval::posterior_over("--posterior", name));
  if (values.count("experts")) options.experts = split_list("--experts", experts);

  const bool cached =
      std::count(options.ensembles.begin(), options.ensembles.end(), Ensemble::cached_prior) > 0;
  if (cached && options.prior.empty())
    throw UsageError("cached_prior needs --prior: the --output of a run with --mode estimate, or numbers");
  if (!cached && !options.prior.empty()) throw UsageError("--prior is for --ensemble cached_prior");
  if (options.first_segment > 0 && options.top_k == 0) throw UsageError("--first-segment is for --top-k");
  if (options.top_k > 0 && (options.ensembles.size() > 1 || options.posteriors.size() > 1 ||
                            options.ensembles.front() == Ensemble::simple_average))
    throw UsageError(
        "--top-k follows one posterior: give one --ensemble, not simple_average, and one --posterior");
  if (!values.count("max-batches") && estimate) options.max_batches = 100;
  options.threads = thread_count(options.threads);
  if (values.count("plot")) require_plot(options.plot);
  if (values.count("output")) outputs.output.emplace(options.output, "--output");
  if (values.count("json")) outputs.json.emplace(options.json, "--json");
  if (values.count("plot")) outputs.plot.emplace(options.plot, "--plot");
  return true;
}

}  // namespace mix_detail

/// The whole program, for main alone: see limit_spinning.
inline int mix(int argc, char** argv, const ModelList& models) {
  limit_spinning(argv);
  return run_program("demix-mix", [&] {
    mix_detail::MixOptions options;
    StopSignal stop("demix-mix");
    stop.defer("this batch");
    mix_detail::MixOutputs outputs;
    if (!mix_detail::parse_options(argc, argv, options, outputs)) return 0;
    const auto loaded =
        load_experts(models, options.checkpoint, options.experts, "--experts", options.threads);
    mix_detail::mix(loaded, options, outputs, stop);
    return 0;
  });
}

}  // namespace demix::program
