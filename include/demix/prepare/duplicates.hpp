#pragma once
// Identical documents: how many of them the splits share, and splits that share none.

#include <array>
#include <compare>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "demix/prepare/document_index.hpp"
#include "demix/prepare/external_sort.hpp"
#include "demix/prepare/splits.hpp"
#include "demix/prepare/text_hash.hpp"

namespace demix::prepare {

namespace duplicates_detail {

/// Where a text stands in the shuffled order.
struct Copy {
  TextHash hash;
  std::uint64_t position;
  auto operator<=>(const Copy&) const = default;
};

struct Member {
  std::uint64_t group, position;
  auto operator<=>(const Member&) const = default;
};

inline void poll_now_and_then(std::uint64_t position, const std::function<void()>& poll) {
  if (position % 4096 == 0) poll();
}

/// A list of numbers in a temporary file.
struct Table {
  explicit Table(const std::filesystem::path& path) : file(path) {}
  std::uint64_t operator[](std::uint64_t i) const {
    std::uint64_t value = 0;
    reader->read(i * sizeof(value), &value, sizeof(value));
    return value;
  }

  OutputFile file;
  std::unique_ptr<InputFile> reader;
};

}  // namespace duplicates_detail

/// Per split, the documents whose text also stands in another split. Memory does not grow with their number;
/// `scratch` begins the names of temporary files, and `poll` is called now and then.
inline std::array<std::uint64_t, 3> count_shared_documents(const DocumentIndex& documents,
                                                           const SplitPlan& plan, const std::string& scratch,
                                                           const std::function<void()>& poll) {
  using duplicates_detail::Copy;
  ExternalSort<Copy> copies(scratch + ".copies");
  for (const SplitRange& range : plan.ranges)
    for (std::uint64_t position = range.first; position < range.last; ++position) {
      duplicates_detail::poll_now_and_then(position, poll);
      copies.add({documents.hash(plan.order(position)), position});
    }
  std::array<std::uint64_t, 3> shared{}, same{};
  TextHash hash;
  const auto close_group = [&] {
    const bool is_shared = (same[0] > 0) + (same[1] > 0) + (same[2] > 0) > 1;
    for (std::size_t s = 0; s < 3; ++s) shared[s] += is_shared ? same[s] : 0;
    same = {};
  };
  copies.merge([&](const Copy& copy) {
    if (copy.hash != hash) close_group();
    hash = copy.hash;
    std::size_t split = 0;
    while (copy.position < plan.ranges[split].first || copy.position >= plan.ranges[split].last) ++split;
    ++same[split];
  });
  close_group();
  return shared;
}

/// plan_splits, with identical documents in one split. Within a split the order is the shuffled one.
inline SplitPlan plan_splits_without_shared(const std::string& domain, const DocumentIndex& documents,
                                            const SplitSettings& settings, Seed seed,
                                            const std::string& scratch, const std::function<void()>& poll) {
  using duplicates_detail::Copy, duplicates_detail::Member;
  const std::uint64_t count = documents.size();
  require_enough_documents(domain, count);
  const data::RandomPermutation order(seed, domain_key(domain), 0, count, RandomStream::splitting);

  ExternalSort<Copy> copies(scratch + ".copies");
  for (std::uint64_t position = 0; position < count; ++position) {
    duplicates_detail::poll_now_and_then(position, poll);
    copies.add({documents.hash(order(position)), position});
  }
  ExternalSort<Member> groups(scratch + ".groups");  // each named by its first position
  Copy first{};
  bool is_first = true;
  copies.merge([&](const Copy& copy) {
    if (std::exchange(is_first, false) || copy.hash != first.hash) first = copy;
    groups.add({first.position, copy.position});
  });

  constexpr std::uint64_t unused = 3;
  ExternalSort<Member> dealt(scratch + ".dealt");  // group: the split
  SplitFiller filler(settings, count, documents.words());
  std::array<std::uint64_t, unused + 1> sizes{};
  std::vector<std::uint64_t> group;
  std::uint64_t words = 0;
  const auto deal = [&] {
    const std::uint64_t split = filler.deal(group.size(), words).value_or(unused);
    for (const std::uint64_t position : group) dealt.add({split, position});
    sizes[split] += group.size();
    group.clear();
    words = 0;
  };
  groups.merge([&](const Member& member) {
    duplicates_detail::poll_now_and_then(member.position, poll);
    if (!group.empty() && member.group != group.front()) deal();
    group.push_back(member.position);
    words += documents.words(order(member.position));
  });
  deal();

  const auto table = std::make_shared<duplicates_detail::Table>(scratch + ".order");
  dealt.merge([&](const Member& member) {
    const std::uint64_t document = order(member.position);
    table->file.write(&document, sizeof(document));
  });
  table->file.flush();
  table->reader = std::make_unique<InputFile>(table->file.partial_path());
  SplitPlan plan{[table](std::uint64_t position) { return (*table)[position]; }, {}};
  std::uint64_t end = 0;
  for (std::size_t split = 0; split < plan.ranges.size(); ++split) {
    plan.ranges[split] = {end, end + sizes[split]};
    end += sizes[split];
  }
  require_no_empty_split(domain, plan, count, documents.words());
  return plan;
}

}  // namespace demix::prepare
