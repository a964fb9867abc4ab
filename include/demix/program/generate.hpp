#pragma once
// demix-generate: text from a model, by one expert or by the mixture of all.

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "demix/core/json_text.hpp"
#include "demix/core/memory_limit.hpp"
#include "demix/core/output_file.hpp"
#include "demix/eval/generator.hpp"
#include "demix/eval/prior.hpp"
#include "demix/program/command_line.hpp"
#include "demix/program/load.hpp"
#include "demix/program/run_program.hpp"
#include "demix/program/text_printer.hpp"
#include "demix/text/vocabulary.hpp"

namespace demix::program {

namespace generate_detail {

struct GenerateOptions {
  std::string data, checkpoint, prior, json;
  std::vector<std::string> prompts, experts;
  eval::GenerateSettings settings;
  eval::SamplerSettings sampler;
  std::size_t samples = 1, batch_size = 8;
  int threads = 1;
  bool single_expert = false, mixture_asked = false, show_posterior = false;
};

/// Symbols of text, and the end of a document.
inline std::vector<bool> drawable(const text::Vocabulary& vocabulary) {
  std::vector<bool> result(vocabulary.dictionary().size(), false);
  for (std::size_t id = 0; id < vocabulary.bpe().size(); ++id)
    result[static_cast<std::size_t>(vocabulary.token_of(static_cast<text::BpeId>(id)))] = true;
  result[unk_token] = false;
  result[eos_token] = true;
  return result;
}

/// Every prompt, `samples` times.
inline std::vector<eval::Prompt> encode(const text::Vocabulary& vocabulary, const GenerateOptions& options) {
  text::TextEncoder encoder(vocabulary);
  std::vector<eval::Prompt> prompts;
  for (const auto& text : options.prompts) {
    eval::Prompt prompt;
    encoder.encode(text, prompt.tokens);
    for (; prompt.sample < options.samples; ++prompt.sample) prompts.push_back(prompt);
  }
  return prompts;
}

inline std::vector<TextPrinter::Start> starts_of(const GenerateOptions& options) {
  std::vector<TextPrinter::Start> starts;
  for (std::size_t i = 0; i < options.prompts.size(); ++i)
    for (std::size_t sample = 1; sample <= options.samples; ++sample)
      starts.push_back({options.samples == 1 ? concat("prompt ", i + 1, " of ", options.prompts.size())
                                             : concat("prompt ", i + 1, " of ", options.prompts.size(),
                                                      ", sample ", sample, " of ", options.samples),
                        options.prompts[i]});
  return starts;
}

/// What is printed for a token. The end of a document is seen where others follow; a symbol of a prompt may
/// be one that the vocabulary does not know.
inline std::string bytes_of(const text::Vocabulary& vocabulary, const eval::TextToken& token,
                            bool stop_at_end) {
  if (token.token == eos_token) return stop_at_end ? "" : "</s>\n";
  return token.token == unk_token ? "<unk>" : vocabulary.decode({&token.token, 1});
}

inline void generate(const LoadedModel& loaded, const GenerateOptions& options,
                     std::optional<OutputFile>& json, const StopSignal& stop) {
  eval::Scorer& model = *loaded.scorer;
  const auto& metadata = loaded.metadata;
  const auto& experts = loaded.experts;
  const text::Vocabulary vocabulary(text::VocabularyFiles::in(options.data));
  text::require_same_vocabulary({options.data, vocabulary.fingerprint()},
                                {options.checkpoint, metadata.vocabulary_fingerprint});
  const auto names = loaded.expert_names();
  const bool mixture = experts.size() > 1;
  if (options.mixture_asked && !mixture)
    throw UsageError("--prior, --posterior and --show-posterior are for a mixture of two or more experts");
  auto settings = options.settings;
  if (!experts.empty()) settings.experts = experts;
  settings.prior = options.prior.empty() ? eval::uniform_prior(settings.experts.size())
                                         : eval::read_prior("--prior", options.prior, settings.over, names);
  const double total = static_cast<double>(options.prompts.size()) * static_cast<double>(options.samples),
               at_once = std::min(total, static_cast<double>(options.batch_size));
  require_memory<UsageError>(total * sizeof(eval::Prompt), "--samples ", options.samples, ": generating");
  if (settings.cache)
    require_memory<UsageError>(
        least_cache_bytes(model.config(), at_once * static_cast<double>(settings.experts.size())),
        "--batch-size ", options.batch_size, ": generating");
  const eval::Sampler sampler(options.sampler, drawable(vocabulary));
  const auto prompts = encode(vocabulary, options);
  const PosteriorBar bar(names);
  TextPrinter printer(starts_of(options), options.show_posterior ? &bar : nullptr);
  std::vector<std::string> continuations(prompts.size());
  auto texts = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    texts.push_back({{"prompt", text::to_utf8(options.prompts[i / options.samples])},
                     {"sample", prompts[i].sample + 1},
                     {"prompt_tokens", prompts[i].tokens},
                     {"tokens", std::vector<Token>{}},
                     {"text", ""},
                     {"ended", false}});
    if (mixture)
      texts.back()["prompt_posterior"] = texts.back()["posterior"] = nlohmann::ordered_json::array();
  }
  for (std::size_t first = 0; first < prompts.size(); first += options.batch_size) {
    const auto batch =
        std::span(prompts).subspan(first, std::min(options.batch_size, prompts.size() - first));
    eval::Generator generator(model, settings, sampler, batch);
    while (!generator.finished()) {
      const auto tokens = generator.step();
      stop.poll();
      for (const eval::TextToken& next : tokens) {
        const std::size_t i = first + next.text;
        const std::string bytes = bytes_of(vocabulary, next, settings.stop_at_document_end);
        if (mixture) texts[i][next.drawn ? "posterior" : "prompt_posterior"].push_back(next.posterior);
        if (!next.drawn) {
          printer.add_to_prompt(i, bytes, next.posterior);
          continue;
        }
        continuations[i] += bytes;
        texts[i]["tokens"].push_back(next.token);
        texts[i]["ended"] = next.last && next.token == eos_token && settings.stop_at_document_end;
        printer.add(i, bytes, next.posterior, next.last);
      }
    }
  }
  if (!json) return;
  for (std::size_t i = 0; i < prompts.size(); ++i) texts[i]["text"] = text::to_utf8(continuations[i]);
  nlohmann::ordered_json result{{"checkpoint", options.checkpoint}, {"experiment", metadata.experiment}};
  if (!names.empty()) result["experts"] = names;
  if (mixture) {
    result["posterior_over"] = eval::name_of(settings.over);
    result["prior"] = settings.prior;
  }
  result["texts"] = texts;
  json->write(json_text(result, 2) + "\n");
  json->commit();
}

/// A prompt per line.
inline void read_prompts(const std::string& path, std::vector<std::string>& prompts) {
  std::ifstream file(path);
  require(file.good(), "--prompt-file: cannot open '", path, "'");
  const std::size_t before = prompts.size();
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    prompts.push_back(line);
  }
  require(!file.bad() && prompts.size() > before, "--prompt-file: '", path,
          "' has no line; expected a prompt per line");
}

/// Also creates the file of --json. Throws UsageError, and Error for a file that cannot be read or written.
inline bool parse_options(int argc, char** argv, GenerateOptions& options, std::optional<OutputFile>& json) {
  using namespace option;
  CommandLine line{
      "demix-generate CHECKPOINT --data DIR [--prompt TEXT]... [options]",
      "Continues prompts by one expert, or by the mixture of a model's experts (of a domain-token model: of "
      "its\ntokens), of which every token says anew how probable each is. Prints the text as it comes.",
      "demix-generate runs/demix/checkpoint_last --data data-bin --expert news --prompt \"The court\"\n"
      "  demix-generate runs/demix/checkpoint_last --data data-bin --prompt \"The court\" --show-posterior",
      {"checkpoint"},
      {"prompt"}};
  std::string prompt_file, expert, experts, posterior;
  constexpr std::size_t most_draws = std::numeric_limits<std::uint32_t>::max();  // eval::Draw counts so far
  bool ignore_eos = false, no_cache = false;
  // clang-format off
  line.options.add_options()
    ("checkpoint", string(options.checkpoint, "DIR")->required(), "the checkpoint (also the first argument)")
    ("data", string(options.data, "DIR")->required(), "the folder of the vocabulary's files encoder.json, vocab.bpe and dict.txt, such as a data-bin")
    ("prompt", po::value(&options.prompts)->value_name("TEXT"), "what the text begins with; repeat it for several texts (default: nothing, the start of a document)")
    ("prompt-file", string(prompt_file, "FILE"), "further prompts, one per line; an empty line is an empty prompt")
    ("expert", string(expert, "NAME"), "continue by this expert alone (of a domain-token model: behind this token), or CHECKPOINT:NAME, one from another checkpoint with the same body")
    ("experts", string(experts, "A,B,..."), "mix these only, each as --expert names one, with =NEW behind it to name it otherwise (default: all)")
    ("prior", string(options.prior, "P,P,...|FILE"), "how probable each expert is before the prompt, in their order, or the --output of demix-mix --mode estimate (default: all alike)")
    ("posterior", string(posterior, "NAME")->default_value(eval::name_of(eval::default_posterior)), "what the posterior of a token looks at: prefix, the prompt and all tokens so far; previous_token, the one before it")
    ("show-posterior", po::bool_switch(&options.show_posterior), "a line per token: what the posterior was when it was drawn")
    ("max-tokens", whole<std::size_t>(options.settings.max_tokens, 1, most_draws)->default_value(200), "tokens of each text, without the prompt")
    ("temperature", not_negative(options.sampler.temperature)->default_value(1), "sharper below 1, flatter above; 0: always the most probable token")
    ("top-k", count(options.sampler.top_k, 1), "draw among the N most probable tokens (default: all)")
    ("top-p", real(options.sampler.top_p, [](double p) { return p > 0 && p <= 1; }, "a number above 0, at most 1")->default_value(1), "draw among the fewest tokens that together have this probability")
    ("seed", seed(options.sampler.seed.value)->default_value(1), "of the draws")
    ("samples", whole<std::size_t>(options.samples, 1, most_draws)->default_value(options.samples), "continuations of each prompt")
    ("ignore-eos", po::bool_switch(&ignore_eos), "go on with another document after </s>, the end of one")
    ("batch-size", count(options.batch_size, 1)->default_value(options.batch_size), "texts at a time; each needs memory for keys and values, per expert")
    ("no-cache", po::bool_switch(&no_cache), "keep no keys and values: the same text, slowly")
    ("json", string(options.json, "FILE"), "also write tokens, texts and posteriors as JSON")
    ("threads", threads(options.threads), "processor threads (default: OMP_NUM_THREADS, or all)");
  // clang-format on
  po::variables_map values;
  if (!line.parse(argc, argv, values)) return false;
  if (!prompt_file.empty()) read_prompts(prompt_file, options.prompts);
  if (options.prompts.empty()) options.prompts.emplace_back();
  if (values.count("expert") && values.count("experts"))
    throw UsageError("--expert is one expert alone, --experts a mixture: give one of them");
  if (values.count("experts")) options.experts = split_list("--experts", experts);
  options.single_expert = values.count("expert") > 0;
  if (options.single_expert) options.experts = {expert};
  options.settings.over = eval::posterior_over("--posterior", posterior);
  options.mixture_asked = values.count("prior") || !values["posterior"].defaulted() || options.show_posterior;
  options.settings.stop_at_document_end = !ignore_eos;
  options.settings.cache = !no_cache;
  if (options.sampler.temperature == 0 && (values.count("top-k") || !values["top-p"].defaulted() ||
                                           !values["seed"].defaulted() || options.samples > 1))
    throw UsageError(
        "--temperature 0 always takes the most probable token: --top-k, --top-p, --seed and --samples "
        "change nothing");
  options.threads = thread_count(options.threads);
  if (values.count("json")) json.emplace(options.json, "--json");
  return true;
}

}  // namespace generate_detail

/// The whole program, for main alone: see limit_spinning.
inline int generate(int argc, char** argv, const ModelList& models) {
  limit_spinning(argv);
  return run_program("demix-generate", [&] {
    generate_detail::GenerateOptions options;
    StopSignal stop("demix-generate");
    stop.defer("this token");
    std::optional<OutputFile> json;
    if (!generate_detail::parse_options(argc, argv, options, json)) return 0;
    const auto loaded = options.experts.empty()
                            ? load_model(models, options.checkpoint, options.threads)
                            : load_experts(models, options.checkpoint, options.experts,
                                           options.single_expert ? "--expert" : "--experts", options.threads);
    generate_detail::generate(loaded, options, json, stop);
    return 0;
  });
}

}  // namespace demix::program
