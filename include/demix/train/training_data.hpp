#pragma once
// The text that a run is trained on, and whether a resumed run still has the same.

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "demix/comm/agreement.hpp"
#include "demix/comm/placement.hpp"
#include "demix/core/error.hpp"
#include "demix/core/json_text.hpp"
#include "demix/core/types.hpp"
#include "demix/data/batcher.hpp"
#include "demix/data/block_dataset.hpp"

namespace demix::train {

/// The text of a run, or of a rank's domains: train[d] and valid[d] are of the model's domain domains[d].
struct TrainingData {
  std::filesystem::path data_bin;
  std::string vocabulary_fingerprint;
  std::vector<DomainId> domains;
  std::vector<data::BlockDataset> train, valid;
};

/// The text of these of the model's domains, whose names are `names`, in blocks of `block_length` tokens.
/// Throws Error for a split that is missing, damaged or empty.
inline TrainingData open_data(const std::filesystem::path& data_bin, std::string vocabulary_fingerprint,
                              const std::vector<std::string>& names, const std::vector<DomainId>& domains,
                              std::size_t dictionary_size, std::size_t block_length) {
  TrainingData result{data_bin, std::move(vocabulary_fingerprint), domains, {}, {}};
  for (const DomainId domain : domains) {
    const auto open = [&](const char* split) {
      return data::open_split(data_bin, names.at(index(domain)), split, dictionary_size, block_length);
    };
    result.train.push_back(open("train"));
    result.valid.push_back(open("valid"));
  }
  return result;
}

/// A rank's texts, with the number that each has among those of all ranks; `numbers`, where there are any,
/// are those of all of the run's domains in the run that it is a part of. Throws Error unless there is one
/// for each domain, and the text of the domains that the placement gives this rank.
inline std::vector<data::BatchText> batch_texts(const TrainingData& data, const comm::Placement& placement,
                                                const std::vector<std::size_t>& numbers) {
  require(data.domains.size() == placement.domains.size(), "the text of ", data.domains.size(),
          " domains on a rank that has ", placement.domains.size());
  require(numbers.empty() || numbers.size() == placement.all_domains, numbers.size(),
          " numbers of domains in a run of ", placement.all_domains);
  std::vector<data::BatchText> result;
  for (std::size_t i = 0; i < data.domains.size(); ++i) {
    const std::size_t number = index(placement.domains[i]);
    result.push_back({data.domains[i], numbers.empty() ? number : numbers[number]});
  }
  return result;
}

/// What tells the text of a run from another one: by the names of the domains and the splits train and valid,
/// the numbers of tokens and documents, and TokenFile::sampled_hash. Throws Error.
inline nlohmann::json text_identity(const TrainingData& data, const std::vector<std::string>& names) {
  const auto describe = [](const data::TokenFile& file) -> nlohmann::json {
    return {{"tokens", file.tokens()}, {"documents", file.documents()}, {"hash", file.sampled_hash()}};
  };
  auto result = nlohmann::json::object();
  for (std::size_t d = 0; d < data.domains.size(); ++d)
    result[names[index(data.domains[d])]] = {{"train", describe(data.train[d].file())},
                                             {"valid", describe(data.valid[d].file())}};
  return result;
}

/// That of all ranks. Collective; throws Error on all of them, also where two see different text of a domain.
template <device::Device D, comm::Communicator Comm>
nlohmann::json text_identity(const TrainingData& data, const std::vector<std::string>& names,
                             comm::Agreement<D, Comm>& ranks) {
  auto here = ranks.together([&] { return text_identity(data, names); });
  if (ranks.is_alone()) return here;
  auto all = nlohmann::json::object();
  const auto texts = ranks.gather(here.dump());
  for (std::size_t rank = 0; rank < texts.size(); ++rank) {
    const auto of_rank = nlohmann::json::parse(texts[rank]);
    for (const auto& [domain, text] : of_rank.items()) {
      const auto [there, is_new] = all.emplace(domain, text);
      if (!is_new && *there != text)
        throw Error(concat("rank ", rank, " sees another text of domain '", domain,
                           "' than the ranks before it:\n  ", json_text(text), "\nand\n  ",
                           json_text(*there)));
    }
  }
  return all;
}

/// Throws Error, with the domain and the split, unless the run that saved `checkpoint` had the text that the
/// data-bin has now. A run that did not record its text (`there` is null) goes on with a warning.
inline void require_same_text(const std::string& checkpoint, const nlohmann::json& there,
                              const std::filesystem::path& data_bin, const nlohmann::json& here) {
  if (there.is_null()) {
    std::fprintf(stderr,
                 "warning: whether %s was trained on the text of %s is not known: an older demix wrote it\n",
                 checkpoint.c_str(), data_bin.c_str());
    return;
  }
  for (const auto& [domain, splits] : here.items())
    for (const auto& [split, now] : splits.items()) {
      const auto before = there.value(domain, nlohmann::json::object()).value(split, nlohmann::json());
      if (before != now)
        throw Error(concat("cannot continue from ", checkpoint, ": its ", split, " text of domain '", domain,
                           "' is\n  ", json_text(before), "\nbut that of ", data_bin, " is\n  ",
                           json_text(now), "\nUse the text that the run began with, or another save_dir"));
    }
}

}  // namespace demix::train
