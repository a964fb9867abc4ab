#pragma once
// Priors over experts as users give them: numbers, or the file of an estimate.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "demix/core/number.hpp"
#include "demix/eval/mixture.hpp"

namespace demix::eval {

namespace prior_detail {

/// The last exp_avg_posterior of the file's lines that are about `over`, by expert.
inline std::vector<double> from_file(const std::string& option, const std::string& path, PosteriorOver over,
                                     const std::vector<std::string>& experts) {
  std::ifstream file(path);
  std::optional<nlohmann::json> chosen;
  std::size_t number = 0;
  const auto where = [&] { return concat(option, ": '", path, "', line ", number); };
  const auto text_of = [](const nlohmann::json& object, const char* name, const std::string& otherwise) {
    const auto found = object.find(name);
    return found == object.end() ? otherwise : found->is_string() ? found->get<std::string>() : found->dump();
  };
  for (std::string line; std::getline(file, line);) {
    ++number;
    const auto object = nlohmann::json::parse(line, nullptr, false);
    require(
        object.is_object() && object.contains("exp_avg_posterior") && object["exp_avg_posterior"].is_array(),
        where, ": not an object with exp_avg_posterior, such as demix-mix --mode estimate writes");
    if (text_of(object, "posterior_over", name_of(over)) != name_of(over)) continue;
    require(!chosen || text_of(*chosen, "ensemble", "") == text_of(object, "ensemble", ""), where,
            ": estimates of several ensembles; make one with --ensemble updating_prior alone");
    chosen = object;
  }
  require(!file.bad(), option, ": '", path, "' cannot be read");
  require(chosen.has_value(), option, ": '", path, "' has no estimate of the posterior over ", name_of(over));
  const auto list_of = [&]<class T>(const char* name, const char* expected) {
    try {
      return chosen->at(name).get<std::vector<T>>();
    } catch (const nlohmann::json::exception&) {
      throw Error(
          concat(option, ": '", path, "': the last estimate's ", name, " is not a list of ", expected));
    }
  };
  auto prior = list_of.template operator()<double>("exp_avg_posterior", "numbers");
  if (chosen->contains("experts")) {
    const auto names = list_of.template operator()<std::string>("experts", "names");
    require(names.size() == prior.size(), option, ": '", path, "' has ", prior.size(), " numbers for ",
            names.size(), " experts");
    std::vector<double> ours;
    for (const auto& expert : experts) {
      const auto at = std::find(names.begin(), names.end(), expert);
      require(at != names.end(), option, ": '", path, "' says nothing about expert '", expert,
              "'; estimate again with the same experts");
      ours.push_back(prior[static_cast<std::size_t>(at - names.begin())]);
    }
    prior = ours;
  }
  return prior;
}

}  // namespace prior_detail

/// The prior that an option gives: "0.2,0.8" or "[0.2, 0.8]", in the order of the experts, or the JSONL file
/// of an estimate, of which the last line about `over` counts; its experts are found by name and may be more.
/// Divided by its sum. Throws UsageError for a text that is neither, and Error for a file or numbers that do
/// not fit.
inline std::vector<double> read_prior(const std::string& option, const std::string& text, PosteriorOver over,
                                      const std::vector<std::string>& experts) {
  auto prior = parse_reals(text);
  if (!prior) {
    if (!std::ifstream(text).good() || std::filesystem::is_directory(text))
      throw UsageError(
          concat(option, ": '", text, "' is neither a file nor a list of numbers such as 0.5,0.5"));
    prior = prior_detail::from_file(option, text, over, experts);
  }
  try {
    return normalized_prior(*prior, experts.size());
  } catch (const Error& error) {
    throw Error(concat(option, ": ", error.what()));
  }
}

}  // namespace demix::eval
