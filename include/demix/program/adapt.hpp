#pragma once
// demix-adapt: a trained model adapted to a new domain.

#include <memory>
#include <string>

#include "demix/core/domain_name.hpp"
#include "demix/program/adapt_options.hpp"
#include "demix/program/run_program.hpp"
#include "demix/program/train.hpp"

namespace demix::program {

/// Throws UsageError, or Error for the folder, unless the options make sense for the base.
inline void require_adaptable(const ModelType& type, const checkpoint::Metadata& base,
                              const adapt::Settings& a) {
  require_domain_name<UsageError>(a.domain, "--domain: ");
  require_outside_data(a.training.save_dir, a.data);
  if (find_domain(base.domains, a.domain))
    throw UsageError(concat("--domain ", a.domain, ": ", a.checkpoint.string(), " has this domain already; ",
                            type.traits.has_experts
                                ? "rename its expert first (demix-experts rename), or give the new text a "
                                  "name of its own in DATA"
                                : "give the new text a name of its own in DATA"));
  if (a.from.empty()) return;
  if (!type.traits.has_experts && type.traits.prefix_length == 0)
    throw UsageError("--from: a " + base.experiment + " model has no experts or domain tokens to start from");
  require_one_of("--from", a.from, base.domains);
}

/// The whole program, for main alone: see limit_spinning.
inline int adapt(int argc, char** argv, const ModelList& models) {
  limit_spinning(argv);
  return run_program("demix-adapt", [&] {
    StopSignal stop("demix-adapt");
    AdaptOptions options;
    const auto checkpoints = std::make_shared<checkpoint::Checkpoints>();
    if (!parse_adapt_options(argc, argv, *checkpoints, options)) return 0;
    const checkpoint::ModelSource base(checkpoints, options.adaptation.checkpoint);
    const ModelType& type = models.at(base.metadata().experiment, base.path().string());
    // Values and gradients; the moments are of what is trained alone.
    constexpr std::size_t numbers = 2;
    require_memory_for_training(base.metadata().config, options.adaptation.training, 1, 1, numbers, true);
    require_adaptable(type, base.metadata(), options.adaptation);
    return type.adapt(base, options, stop);
  });
}

}  // namespace demix::program
