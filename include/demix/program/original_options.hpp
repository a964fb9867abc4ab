#pragma once
// Options of the original's training commands that say what is always so here. They are read so that its
// command lines work, and refused where they say otherwise.

#include <algorithm>
#include <boost/program_options.hpp>
#include <string>
#include <vector>

#include "demix/program/command_line.hpp"
#include "demix/program/model_type.hpp"

namespace demix::program {

namespace original_detail {

/// An option that may say one of `values` alone; any where there are none. A flag says nothing.
struct Option {
  const char* name;
  bool is_flag;
  std::vector<std::string> values;
  const char* note;  // why it has no effect, to be told; "" where it is as it says
  const char* kind;  // of models, that it is for; "" for all
  bool (*is_for)(const ModelTraits&);
};

inline bool all(const ModelTraits&) { return true; }
inline bool with_experts(const ModelTraits& type) { return type.has_experts; }
inline bool with_tokens(const ModelTraits& type) { return type.prefix_length > 0; }
inline bool unbalanced(const ModelTraits& type) { return type.sampling == data::Sampling::unbalanced; }

inline const std::vector<Option>& table() {
  constexpr const char* float32 = "numbers are float32 here: more exact, and twice the memory";
  static const std::vector<Option> options{
      {"task", false, {"multidomain_language_modeling"}, "", "", all},
      {"criterion", false, {"desynchronized_cross_entropy", "cross_entropy"}, "", "", all},
      {"optimizer", false, {"adam"}, "", "", all},
      {"lr-scheduler", false, {"polynomial_decay"}, "", "", all},
      {"sample-break-mode", false, {"none"}, "", "", all},
      {"log-format", false, {"simple"}, "", "", all},
      {"required-batch-size-multiple", false, {"1"}, "", "", all},
      {"skip-invalid-size-inputs-valid-test", true, {}, "", "", all},
      {"no-epoch-checkpoints", true, {}, "", "", all},
      {"fp16", true, {}, float32, "", all},
      {"memory-efficient-fp16", true, {}, float32, "", all},
      {"num-workers", false, {}, "text is mapped into memory, which takes no workers", "", all},
      {"wandb-project", false, {}, "nothing is sent anywhere; metrics.jsonl has the numbers", "", all},
      {"distributed-port", false, {}, "the launcher connects the processes", "", all},
      {"ddp-backend", false, {}, "gradients are summed by MPI", "", all},
      {"all-gather-list-size", false, {}, "what ranks tell each other may be of any size", "", all},
      {"desynchronize", true, {}, "", "models with experts", with_experts},
      {"domain-parallel", true, {}, "", "models with experts", with_experts},
      {"sync-type", false, {"manual"}, "", "models with experts", with_experts},
      {"untie-parameters", false, {"feedforward"}, "", "models with experts", with_experts},
      {"add-domain-token", true, {}, "", "models with domain tokens", with_tokens},
      {"unbalanced", true, {}, "", "unbalanced models", unbalanced}};
  return options;
}

inline std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : between) + word;
  return text;
}

inline std::string help_of(const Option& option) {
  std::string text = joined(option.values, " or ");
  if (text.empty()) text = *option.note ? concat("no effect: ", option.note) : std::string("as it is here");
  return *option.kind ? concat(text, "; for ", option.kind) : text;
}

/// What --data-parallel-groups says of so many GPUs: which of them hold one domain's experts; all hold what
/// is no expert.
inline std::string groups_of(const ModelTraits& type, std::size_t gpus, std::size_t domains) {
  const std::size_t size = !type.has_experts ? gpus : gpus <= domains ? 1 : gpus / domains;
  std::string text;
  for (std::size_t r = 0; r < gpus; ++r) text += concat(r == 0 ? "" : r % size == 0 ? " " : ",", r);
  return text;
}

/// Throws UsageError unless these ranks do what the options ask of GPUs. One process alone computes what as
/// many GPUs as domains would.
inline void require_ranks(const OriginalOptions& given, const ModelTraits& type, std::size_t domains,
                          std::size_t batch_size, std::size_t ranks) {
  const std::size_t expected = ranks > 1 ? ranks : domains;
  if (const auto found = given.find("distributed-world-size"); found != given.end()) {
    const auto gpus = parse_whole<std::size_t>(found->second);
    if (!gpus || *gpus == 0)
      throw UsageError(
          concat("--distributed-world-size: expected a number of GPUs, found '", found->second, "'"));
    if (*gpus != expected && ranks > 1)
      throw UsageError(concat("--distributed-world-size ", *gpus, ": ", ranks, " processes were started"));
    if (*gpus != expected) {
      const auto sequences = batch_size * *gpus;
      throw UsageError(
          concat("--distributed-world-size ", *gpus, ": one process computes what ", domains,
                 " GPUs would, one for each domain; start ", *gpus, " processes (mpirun, srun), or ",
                 sequences % domains == 0
                     ? concat("take the batch of ", *gpus, " GPUs, which is --batch-size ",
                              sequences / domains, " without this option")
                     : concat("another batch: that of ", *gpus, " GPUs cannot be shared out evenly")));
    }
  }
  if (const auto found = given.find("data-parallel-groups"); found != given.end())
    if (const auto groups = groups_of(type, expected, domains); found->second != groups)
      throw UsageError(concat("--data-parallel-groups '", found->second, "': those of ", expected,
                              ranks > 1 ? " ranks" : " GPUs, one for each domain,", " are '", groups, "'"));
}

}  // namespace original_detail

/// Declares the options; what is given goes to `given`, which must outlive the result.
inline boost::program_options::options_description original_options(OriginalOptions& given) {
  namespace po = boost::program_options;
  po::options_description group("For command lines of the original: what is always so here", help_columns);
  const auto value = [&](const char* name, const std::string& text) {
    group.add_options()(name,
                        po::value<std::string>()->value_name("X")->notifier(
                            [&given, name](const std::string& said) { given[name] = said; }),
                        text.c_str());
  };
  for (const auto& option : original_detail::table())
    if (option.is_flag)
      group.add_options()(option.name, po::bool_switch()->notifier([&given, name = option.name](bool said) {
        if (said) given[name] = "";
      }),
                          original_detail::help_of(option).c_str());
    else
      value(option.name, original_detail::help_of(option));
  value("distributed-world-size",
        "the number of processes; of one alone the number of domains, for it does what so many GPUs would");
  value("data-parallel-groups",
        "which of them hold one domain's experts: '0 1 ...', or '0,1 2,3 ...' with two for each; '0,1,...' "
        "without experts");
  return group;
}

/// What there is to tell about those that have no effect, a line each. Throws UsageError for one that says
/// what is not so with this type of model, so many domains, so many sequences of each in a micro-batch, and
/// so many ranks.
inline std::vector<std::string> agree(const OriginalOptions& given, const ModelTraits& type,
                                      std::size_t domains, std::size_t batch_size, std::size_t ranks = 1) {
  std::vector<std::string> notes;
  for (const auto& option : original_detail::table()) {
    const auto found = given.find(option.name);
    if (found == given.end()) continue;
    if (!option.is_for(type))
      throw UsageError(concat("--", option.name, " is for ", option.kind, "; experiment '", type.name,
                              "' has another trainer"));
    if (!option.values.empty() && std::ranges::count(option.values, found->second) == 0)
      throw UsageError(concat("--", option.name, " ", found->second, ": here it is always ",
                              original_detail::joined(option.values, " or ")));
    if (*option.note) notes.push_back(concat("--", option.name, " has no effect: ", option.note));
  }
  original_detail::require_ranks(given, type, domains, batch_size, ranks);
  return notes;
}

/// "valid_a,valid_b" as the domains a and b. Throws UsageError for a name of another form.
inline std::vector<std::string> domains_of_subset(const std::string& text) {
  auto domains = split_list("--valid-subset", text);
  for (auto& name : domains) {
    if (!name.starts_with("valid_") || name.size() == 6)
      throw UsageError(concat("--valid-subset: expected valid_DOMAIN, found '", name, "'"));
    name.erase(0, 6);
  }
  return domains;
}

}  // namespace demix::program
