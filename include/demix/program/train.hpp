#pragma once
// A trainer: a command line that names no type of model, because each trainer is of one.

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "demix/checkpoint/metadata.hpp"
#include "demix/comm/agreement.hpp"
#include "demix/core/domain_name.hpp"
#include "demix/core/file_hash.hpp"
#include "demix/core/place.hpp"
#include "demix/data/layout.hpp"
#include "demix/program/ranks.hpp"
#include "demix/program/train_options.hpp"
#include "demix/program/training_memory.hpp"
#include "demix/text/dictionary.hpp"

namespace demix::program {

/// What tells one trainer from another.
struct TrainerProgram {
  std::string program;  // the name it is called by
  std::string model;    // of the type in the list, which marks its checkpoints
  std::string purpose;  // the first lines of --help
};

/// Throws Error when a run's folder would lie among the domains of its data-bin.
inline void require_outside_data(const std::filesystem::path& save_dir,
                                 const std::filesystem::path& data_bin) {
  require(!lies_in(save_dir, data_bin), "--save-dir ", save_dir, ": lies in the data-bin ", data_bin,
          ", which must stay as it is; choose another place");
}

/// Takes the domains of a run that trains experts alone from the checkpoint that it starts from: in its
/// order, those that are named, or all. Throws UsageError for one that it does not have or that stands twice,
/// and Error for a checkpoint that cannot be read or has no experts.
inline void take_domains_of_start(TrainOptions& options) {
  const checkpoint::Checkpoint start(options.settings.start->checkpoint);
  start.require_experts();
  options.domains_at_start = start.metadata.domains;
  const auto& chosen = options.domains;
  for (const auto& domain : chosen) {
    require_one_of("--only-domains", domain, options.domains_at_start);
    if (std::ranges::count(chosen, domain) > 1)
      throw UsageError(concat("--only-domains: '", domain, "' stands twice"));
  }
  auto domains = options.domains_at_start;
  if (!chosen.empty())
    std::erase_if(domains, [&](const auto& domain) { return !find_domain(chosen, domain); });
  options.domains = std::move(domains);
}

/// Takes the vocabulary from the data, and the domains where none are named. Throws Error for data that are
/// not all there, before anything that takes its time, and UsageError for more than fits into memory, or for
/// a number of ranks that cannot share the work.
inline void complete(const ModelTraits& type, TrainOptions& options, int rank = 0, int ranks = 1) {
  require_outside_data(options.settings.save_dir, options.data);
  options.config.vocabulary = text::Dictionary::load(options.data / "dict.txt").size();
  if (options.freezes_shared)
    take_domains_of_start(options);
  else if (options.domains.empty())
    options.domains = data::list_domains(options.data);
  require_domain_names(options.domains);
  for (const auto& domain : options.settings.validation.domains)
    if (!find_domain(options.domains, domain))
      throw UsageError(concat(
          "--eval-domains or --valid-subset: '", domain,
          "' is not trained on, so the model has nothing to score it with; demix-mix scores text of other "
          "domains"));
  for (const auto& domain : options.domains)
    for (const char* split : {"train", "valid"}) data::split_prefix(options.data, domain, split);
  comm::Placement placement;
  try {
    placement = type.placement(rank, ranks, options.domains.size());
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  const std::size_t domains = (placement.domains.size() + placement.parts - 1) / placement.parts;
  // A value and a gradient of each parameter, and Adam's moments, of what is trained alone.
  const std::size_t numbers = options.freezes_shared ? 2 : 4;
  require_memory_for_training(options.config, options.settings, domains, type.has_experts ? domains : 1,
                              numbers);
}

/// Throws Error on all ranks unless all run one program file with one command line. Collective.
inline void require_same_program(comm::Any ranks, int argc, char** argv) {
  device::Cpu device(1);
  comm::Agreement<device::Cpu, comm::Any> agreement(device, ranks);
  if (agreement.is_alone()) return;
  const auto require_same = [&](const char* what, const std::string& here) {
    const auto all = agreement.gather(here);
    for (std::size_t r = 1; r < all.size(); ++r)
      require(all[r] == all[0], "rank ", r, " has another ", what, " than rank 0:\n  ", all[r], "\nand\n  ",
              all[0]);
  };
  require_same("program file",
               agreement.together([] { return hash_digits(hash_of_file("/proc/self/exe")); }));
  std::string line;
  for (int i = 1; i < argc; ++i) line += concat(i == 1 ? "" : " ", argv[i]);
  require_same("command line", line);
}

/// The whole program, for main alone: see limit_spinning.
inline int train(int argc, char** argv, const TrainerProgram& trainer, const ModelList& models) {
  limit_spinning(argv);
  return run_on_ranks(trainer.program, [&](Ranks& ranks) {
    const ModelType& type = models.at(trainer.model, trainer.program);
    StopSignal stop(trainer.program);
    TrainOptions options;
    options.settings.experiment = type.traits.name;
    options.settings.sampling = type.traits.sampling;
    if (!parse_train_options(trainer.program, trainer.purpose, type.traits, argc, argv, options,
                             ranks.sharers()))
      return 0;
    complete(type.traits, options, ranks.rank(), ranks.size());
    for (const auto& note : agree(options.original, type.traits, options.domains.size(),
                                  options.settings.batch_size, static_cast<std::size_t>(ranks.size())))
      if (ranks.is_first()) std::fprintf(stderr, "%s: %s\n", trainer.program.c_str(), note.c_str());
    require_same_program(ranks.communicator(), argc, argv);
    return type.train(options, ranks.communicator(), stop);
  });
}

}  // namespace demix::program
