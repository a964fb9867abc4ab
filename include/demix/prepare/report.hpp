#pragma once
// What demix-prepare says while it works and at its end.

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "demix/core/live_line.hpp"
#include "demix/core/standard_streams.hpp"
#include "demix/prepare/splits.hpp"

namespace demix::prepare {

/// What a split holds.
struct SplitSummary {
  std::uint64_t documents = 0, words = 0, bytes = 0;  // of text, without the document prefix
  std::uint64_t sequences = 0;                        // documents, or lines: as many as </s>
  std::uint64_t tokens = 0;                           // with the prefix's and </s>
  std::uint64_t unknown_tokens = 0;
  std::uint64_t shared_documents = 0;  // their text also stands in another split of the domain

  double bytes_per_token() const { return static_cast<double>(bytes) / static_cast<double>(tokens); }
};

struct DomainSummary {
  std::string name;
  std::array<SplitSummary, 3> splits;  // in the order of split_names
};

/// A domain's part of summary.json.
inline nlohmann::ordered_json to_json(const DomainSummary& domain) {
  nlohmann::ordered_json result;
  for (std::size_t s = 0; s < domain.splits.size(); ++s) {
    const SplitSummary& split = domain.splits[s];
    result[split_names[s]] = {{"documents", split.documents},
                              {"words", split.words},
                              {"bytes", split.bytes},
                              {"sequences", split.sequences},
                              {"tokens", split.tokens},
                              {"unknown_tokens", split.unknown_tokens},
                              {"shared_documents", split.shared_documents},
                              {"bytes_per_token", split.bytes_per_token()}};
  }
  return result;
}

/// Prints the table of all domains and splits.
inline void print_table(const std::vector<DomainSummary>& domains) {
  std::printf("%-16s %-6s %12s %14s %12s %14s %12s %9s %9s\n", "domain", "split", "documents", "bytes",
              "sequences", "tokens", "bytes/token", "unknown", "shared");
  for (const auto& domain : domains)
    for (std::size_t s = 0; s < domain.splits.size(); ++s) {
      const SplitSummary& split = domain.splits[s];
      std::printf("%-16s %-6s %12ju %14ju %12ju %14ju %12.2f %9ju %9ju\n", domain.name.c_str(),
                  split_names[s], static_cast<std::uintmax_t>(split.documents),
                  static_cast<std::uintmax_t>(split.bytes), static_cast<std::uintmax_t>(split.sequences),
                  static_cast<std::uintmax_t>(split.tokens), split.bytes_per_token(),
                  static_cast<std::uintmax_t>(split.unknown_tokens),
                  static_cast<std::uintmax_t>(split.shared_documents));
    }
  flush_standard_output();
}

/// Progress of demix-prepare, not oftener than somebody can read it.
class PrepareProgress {
 public:
  /// A line that stays.
  void message(const std::string& text) { line_.message(text); }

  /// What is going on: shown 5 times a second on a terminal, every 10 seconds elsewhere.
  void update(const std::string& text) {
    const auto now = Clock::now();
    if (now - shown_ < (line_.terminal() ? std::chrono::milliseconds(200) : std::chrono::seconds(10))) return;
    shown_ = now;
    line_.show(text);
  }

 private:
  using Clock = std::chrono::steady_clock;

  LiveLine line_;
  Clock::time_point shown_ = Clock::now();
};

}  // namespace demix::prepare
