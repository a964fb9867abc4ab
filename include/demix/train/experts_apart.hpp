#pragma once
// Experts trained apart (Li et al. 2022, Branch-Train-Merge): a run that trains some experts of a trained
// model and nothing else, and computes for them what a run of all of them computes.

#include <cstddef>
#include <string>
#include <vector>

#include "demix/core/domain_name.hpp"
#include "demix/optim/parameter_span.hpp"
#include "demix/train/settings.hpp"

namespace demix::train {

/// Trains the experts that `weights` hold, each as if it were alone, and leaves the shared parameters as they
/// are. `domains` are the run's, and `all` those of the model that it starts from, which number what is drawn
/// for each. Throws Error for a domain that is none of them.
template <device::Device D, class T>
Adaptation experts_apart(const ParameterArena<D, T>& weights, const std::vector<std::string>& domains,
                         const std::vector<std::string>& all) {
  Adaptation result{
      optim::expert_regions(weights), {{"trained", "experts"}, {"domains_at_start", all}}, true};
  for (const auto& domain : domains) {
    const auto found = find_domain(all, domain);
    require(found.has_value(), "experts apart: the model at the start has no domain '", domain, "'");
    result.numbers.push_back(index(*found));
  }
  return result;
}

}  // namespace demix::train
