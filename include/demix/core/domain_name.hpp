#pragma once
// What may name a domain: the one rule for text, trainers, checkpoints and experts.

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/types.hpp"

namespace demix {

/// The longest name: with what is added to it, it is still a file name.
inline constexpr std::size_t longest_domain_name = 200;

/// Whether `name` can be a domain's. It becomes part of file names, and stands in lists (a,b), weights
/// (a=0.5) and places (CHECKPOINT:a).
inline bool is_domain_name(std::string_view name) {
  const auto starts = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !name.empty() && name.size() <= longest_domain_name && starts(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return starts(c) || c == '-' || c == '.' || c == '+'; });
}

/// Throws E, `where` and what is wrong, unless `name` can be a domain's.
template <class E = Error>
void require_domain_name(const std::string& name, std::string_view where = "") {
  if (!is_domain_name(name))
    throw E(concat(where, "domain name '", name, "' cannot be a file name; use up to ", longest_domain_name,
                   " letters, digits and _ - . +, a letter, digit or _ first"));
}

/// Throws Error unless there are domains, and all their names are allowed and distinct.
inline void require_domain_names(const std::vector<std::string>& domains) {
  require(!domains.empty(), "a model needs the name of at least one domain");
  for (auto domain = domains.begin(); domain != domains.end(); ++domain) {
    require_domain_name(*domain);
    require(std::find(domains.begin(), domain, *domain) == domain, "domain name '", *domain,
            "' stands twice in the list of domains");
  }
}

/// The domain of that name, none where there is none.
inline std::optional<DomainId> find_domain(const std::vector<std::string>& domains, std::string_view name) {
  const auto found = std::find(domains.begin(), domains.end(), name);
  if (found == domains.end()) return std::nullopt;
  return DomainId(static_cast<std::int32_t>(found - domains.begin()));
}

}  // namespace demix
