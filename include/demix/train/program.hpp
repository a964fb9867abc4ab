#pragma once
// A trainer program: `int main` of an experiment is one call of `program` with a model type.

#include <string>
#include <vector>

#include "demix/comm/self.hpp"
#include "demix/core/place.hpp"
#include "demix/core/processors.hpp"
#include "demix/core/run_program.hpp"
#include "demix/data/layout.hpp"
#include "demix/data/vocabulary.hpp"
#include "demix/device/cpu.hpp"
#include "demix/ops/activation.hpp"
#include "demix/train/memory.hpp"
#include "demix/train/options.hpp"
#include "demix/train/trainer.hpp"

namespace demix::train {

/// What tells one experiment's program from another's.
struct Experiment {
  std::string program;  // the name it is called by
  std::string name;     // what its checkpoints are marked with
  std::string purpose;  // the first lines of --help
  data::Sampling sampling = data::Sampling::balanced;
};

/// Throws Error when a run's folder would lie among the domains of its data-bin.
inline void require_outside_data(const std::filesystem::path& save_dir,
                                 const std::filesystem::path& data_bin) {
  require(!lies_in(save_dir, data_bin), "--save-dir ", save_dir, ": lies in the data-bin ", data_bin,
          ", which must stay as it is; choose another place");
}

/// The text of domains in blocks of `block_length` tokens; the first is the model's domain `first`.
inline TrainingData open_data(const std::filesystem::path& data_bin, const std::vector<std::string>& domains,
                              const data::Dictionary& dictionary, std::size_t block_length,
                              DomainId first = DomainId(0)) {
  TrainingData result{data_bin, data::vocabulary_fingerprint(data_bin), {}, {}, {}};
  for (const auto& domain : domains) {
    result.domains.push_back(DomainId(static_cast<int>(index(first) + result.domains.size())));
    result.train.push_back(data::open_split(data_bin, domain, "train", dictionary.size(), block_length));
    result.valid.push_back(data::open_split(data_bin, domain, "valid", dictionary.size(), block_length));
  }
  return result;
}

/// Trains one model type to the end, or to a signal. Returns the exit code: 0, or 128 + the signal as shells
/// do.
template <class Model>
int train(const RunOptions& run, StopSignal& stop) {
  require_outside_data(run.settings.save_dir, run.data);
  const auto dictionary = data::Dictionary::load(run.data / "dict.txt");
  const auto domains = run.train_domains.empty() ? data::list_domains(run.data) : run.train_domains;
  require_domain_names(domains);
  for (const auto& domain : domains)  // before the model, which may take its time
    for (const char* split : {"train", "valid"}) data::split_prefix(run.data, domain, split);
  ModelConfig config = run.config;
  config.vocabulary = dictionary.size();
  require_memory_for_training(config, run.settings, domains.size(), Model::has_experts ? domains.size() : 1);
  device::Cpu device;
  Model model(device, config, domains, run.settings.seed);
  const TrainingData data = open_data(run.data, domains, dictionary, model.text_length());
  Trainable<Model> trainable(model);
  Trainer<device::Cpu, Fp32, comm::Self> trainer(
      trainable, comm::Self(), comm::Placement::whole(domains.size()), data, run.settings, run.settings.adam);
  std::fprintf(stderr, "%s: %zu parameters, %zu domains, %zu tokens per update, %d threads\n",
               run.settings.experiment.c_str(), model.weights().size(), domains.size(),
               domains.size() * run.settings.batch_size * run.settings.update_freq * config.tokens_per_sample,
               device.threads());
  stop.defer("this micro-batch, or batch of validation");
  return trainer.run([&] { stop.poll(); }) ? 0 : 128 + stop.received();
}

/// The whole program, for main alone: see limit_spinning. `ModelOf<A>` is the model's type with activation A;
/// --activation chooses A.
template <template <class> class ModelOf>
int program(int argc, char** argv, const Experiment& experiment) {
  limit_spinning(argv);
  return run_program(experiment.program, [&] {
    StopSignal stop(experiment.program);
    RunOptions run;
    run.settings.experiment = experiment.name;
    run.settings.sampling = experiment.sampling;
    if (!parse_options(experiment.program, experiment.purpose, argc, argv, run)) return 0;
    return ops::Activations::call(run.config.activation,
                                  [&]<class A>() { return train<ModelOf<A>>(run, stop); });
  });
}

}  // namespace demix::train
