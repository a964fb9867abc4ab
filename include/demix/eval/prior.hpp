#pragma once
// Priors over experts as users give them: numbers, or the file of an estimate.

#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "demix/eval/mixture.hpp"

namespace demix::eval {

namespace prior_detail {

inline std::vector<double> numbers(const std::string& option, const std::string& text) {
  std::vector<double> result;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, ',');) {
    std::size_t used = 0;
    double number = 0;
    try {
      number = std::stod(part, &used);
    } catch (const std::exception&) {
      used = std::string::npos;
    }
    if (used != part.size())
      throw UsageError(
          concat(option, ": '", text, "' is neither a file nor a list of numbers such as 0.5,0.5"));
    result.push_back(number);
  }
  return result;
}

/// The last exp_avg_posterior of the file's lines that are about `over`, by expert.
inline std::vector<double> from_file(const std::string& option, const std::string& path, PosteriorOver over,
                                     const std::vector<std::string>& experts) {
  std::ifstream file(path);
  std::optional<nlohmann::json> chosen;
  std::size_t number = 0;
  const auto where = [&] { return concat(option, ": '", path, "', line ", number); };
  for (std::string line; std::getline(file, line);) {
    ++number;
    const auto object = nlohmann::json::parse(line, nullptr, false);
    require(
        object.is_object() && object.contains("exp_avg_posterior") && object["exp_avg_posterior"].is_array(),
        where(), ": not an object with exp_avg_posterior, such as demix-mix --mode estimate writes");
    if (object.value("posterior_over", name_of(over)) != std::string(name_of(over))) continue;
    require(!chosen || chosen->value("ensemble", "") == object.value("ensemble", ""), where(),
            ": estimates of several ensembles; make one with --ensemble updating_prior alone");
    chosen = object;
  }
  require(chosen.has_value(), option, ": '", path, "' has no estimate of the posterior over ", name_of(over));
  std::vector<double> prior;
  try {
    prior = chosen->at("exp_avg_posterior").get<std::vector<double>>();
    if (chosen->contains("experts")) {
      const auto names = chosen->at("experts").get<std::vector<std::string>>();
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
  } catch (const nlohmann::json::exception& error) {
    throw Error(concat(option, ": '", path, "': ", error.what()));
  }
  return prior;
}

}  // namespace prior_detail

/// The prior that an option gives: "0.2,0.8", in the order of the experts, or the JSONL file of an estimate,
/// of which the last line about `over` counts; its experts are found by name and may be more. Divided by its
/// sum. Throws UsageError for a text that is neither, and Error for a file or numbers that do not fit.
inline std::vector<double> read_prior(const std::string& option, const std::string& text, PosteriorOver over,
                                      const std::vector<std::string>& experts) {
  const bool is_file = std::ifstream(text).good();
  try {
    return normalized_prior(
        is_file ? prior_detail::from_file(option, text, over, experts) : prior_detail::numbers(option, text),
        experts.size());
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    if (std::string(error.what()).starts_with(option)) throw;
    throw Error(concat(option, ": ", error.what()));
  }
}

}  // namespace demix::eval
