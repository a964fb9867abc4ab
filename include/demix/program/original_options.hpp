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
      {"distributed-port", false, {}, "this is one process", "", all},
      {"ddp-backend", false, {}, "this is one process", "", all},
      {"all-gather-list-size", false, {}, "this is one process", "", all},
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

/// The groups of `ranks` ranks that --data-parallel-groups would name: one for each domain's experts, or one
/// of all ranks.
inline std::string groups_of(const ModelTraits& type, std::size_t ranks) {
  std::string text;
  for (std::size_t r = 0; r < ranks; ++r) text += concat(r == 0 ? "" : type.has_experts ? " " : ",", r);
  return text;
}

/// Throws UsageError unless one process does what these options ask of several.
inline void require_one_process(const OriginalOptions& given, const ModelTraits& type, std::size_t domains,
                                std::size_t batch_size) {
  if (const auto found = given.find("distributed-world-size"); found != given.end()) {
    const auto gpus = parse_whole<std::size_t>(found->second);
    if (!gpus || *gpus == 0)
      throw UsageError(
          concat("--distributed-world-size: expected a number of GPUs, found '", found->second, "'"));
    if (*gpus != domains) {
      const auto sequences = batch_size * *gpus;
      throw UsageError(concat("--distributed-world-size ", *gpus, ": one process computes what ", domains,
                              " GPUs would, one for each domain; ",
                              sequences % domains == 0
                                  ? concat("the batch of ", *gpus, " GPUs is --batch-size ",
                                           sequences / domains, " without this option")
                                  : concat("the batch of ", *gpus, " GPUs cannot be shared out evenly")));
    }
  }
  if (const auto found = given.find("data-parallel-groups"); found != given.end())
    if (const auto expected = groups_of(type, domains); found->second != expected)
      throw UsageError(concat("--data-parallel-groups '", found->second, "': those of ", domains,
                              " GPUs, one for each domain, are '", expected, "'"));
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
  value("distributed-world-size", "the number of domains: one process does what so many GPUs would");
  value("data-parallel-groups", "of so many GPUs: '0 1 ...' with experts, else '0,1,...'");
  return group;
}

/// What there is to tell about those that have no effect, a line each. Throws UsageError for one that says
/// what is not so with this type of model, so many domains, and so many sequences of each in a micro-batch.
inline std::vector<std::string> agree(const OriginalOptions& given, const ModelTraits& type,
                                      std::size_t domains, std::size_t batch_size) {
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
  original_detail::require_one_process(given, type, domains, batch_size);
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
