#pragma once
// Adaptation to a new domain (Gururangan et al. 2022, section 5): DEMix-DAPT, and DAPT of the other models.

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "demix/adapt/options.hpp"
#include "demix/adapt/record.hpp"
#include "demix/adapt/start.hpp"
#include "demix/checkpoint/compose.hpp"
#include "demix/checkpoint/folder.hpp"
#include "demix/comm/self.hpp"
#include "demix/core/file_lock.hpp"
#include "demix/core/processors.hpp"
#include "demix/core/run_program.hpp"
#include "demix/core/standard_streams.hpp"
#include "demix/eval/load_model.hpp"
#include "demix/eval/mix.hpp"
#include "demix/train/memory.hpp"
#include "demix/train/program.hpp"
#include "demix/train/trainer.hpp"

namespace demix::adapt {

/// The batches that choose the start.
inline constexpr std::size_t posterior_batches = 100;

/// One adaptation: a model of the base's type that trains on the new domain alone.
template <class Model>
class Run {
 public:
  static constexpr bool has_choice = Model::has_experts || Model::prefix_length > 0;

  /// Chooses the start and takes its values from `base`, which is not needed any longer then. Throws
  /// UsageError for options that do not fit the base, and Error for data, or a save folder, of something
  /// else.
  Run(Model& base, const checkpoint::Metadata& metadata, const Options& options)
      : options_(options),
        dictionary_(data::Dictionary::load(options.data / "dict.txt")),
        base_(metadata),
        model_(base.device(), metadata.config, new_domains(metadata, options)),
        data_(open_data(options)),
        record_(make_record(base)) {
    std::size_t start = 0;
    if (has_choice) start = domain_index(record_.start);
    start_from(base, DomainId(static_cast<int>(start)), model_);
  }

  /// Trains to the end, then joins the new expert to the old ones, or to a signal. Returns the exit code.
  int run(StopSignal& stop) {
    const auto& s = options_.settings;
    const train::Adaptation what{trained_spans(model_, options_.trained()),
                                 {{"mode", record_.mode}, {"base", record_.hash}, {"start", record_.start}}};
    std::size_t trained = 0;
    for (const auto& span : what.trained) trained += span.count;
    train::Trainable<Model> trainable(model_);
    train::Trainer<device::Cpu, Fp32, comm::Self> trainer(trainable, comm::Self(), comm::Placement::whole(1),
                                                          data_, s, s.adam, what);
    std::fprintf(stderr, "%s: %zu parameters, %zu of them trained, %zu tokens per update, %d threads\n",
                 s.experiment.c_str(), model_.weights().size(), trained,
                 s.batch_size * s.update_freq * model_.config().tokens_per_sample, model_.device().threads());
    stop.defer("this micro-batch, or batch of validation");
    if (!trainer.run([&] { stop.poll(); })) return 128 + stop.received();
    if constexpr (Model::has_experts) {
      stop.end_at_once();  // the same command joins again
      join();
    }
    return 0;
  }

 private:
  /// The domains of the adapted model, once everything the user asks for is known to make sense.
  static std::vector<std::string> new_domains(const checkpoint::Metadata& base, const Options& options) {
    require_domain_name<UsageError>(options.domain, "--domain: ");
    train::require_outside_data(options.settings.save_dir, options.data);
    require_same_vocabulary({options.data.string(), data::vocabulary_fingerprint(options.data)},
                            {options.checkpoint.string(), base.vocabulary_fingerprint});
    const auto is_known = [&](const std::string& name) {
      return std::find(base.domains.begin(), base.domains.end(), name) != base.domains.end();
    };
    if (is_known(options.domain))
      throw UsageError(
          concat("--domain ", options.domain, ": ", options.checkpoint.string(), " has this domain already; ",
                 Model::has_experts ? "rename its expert first (demix-experts rename), or give the new text "
                                      "a name of its own in DATA"
                                    : "give the new text a name of its own in DATA"));
    if (!options.from.empty() && !has_choice)
      throw UsageError("--from: a " + base.experiment +
                       " model has no experts or domain tokens to start from");
    if (!options.from.empty()) require_one_of("--from", options.from, base.domains);
    std::vector<std::string> domains;
    if (!Model::has_experts) domains = base.domains;
    domains.push_back(options.domain);
    return domains;
  }

  /// The new domain's text. The model keeps what the base's vocabulary says, where the data says less.
  train::TrainingData open_data(const Options& options) const {
    auto data = train::open_data(options.data, {options.domain}, dictionary_, model_.text_length(),
                                 DomainId(static_cast<int>(model_.domains().size()) - 1));
    data.vocabulary_fingerprint =
        fuller_fingerprint(base_.vocabulary_fingerprint, data.vocabulary_fingerprint);
    return data;
  }

  std::size_t domain_index(const std::string& name) const {
    const auto found = std::find(base_.domains.begin(), base_.domains.end(), name);
    require(
        found != base_.domains.end(), [&] { return record_path(); }, ": its start '", name,
        "' is no domain of ", options_.checkpoint);
    return static_cast<std::size_t>(found - base_.domains.begin());
  }

  std::filesystem::path record_path() const { return options_.settings.save_dir / "adapt.json"; }
  std::filesystem::path joined_path() const { return options_.settings.save_dir / "joined"; }

  /// The record that stands in the save folder, or a new one, which then stands there.
  Record make_record(Model& base) const {
    Record record{options_.domain,
                  options_.mode,
                  options_.checkpoint.string(),
                  base_.experiment,
                  model_hash(options_.checkpoint, base_),
                  base_.step,
                  options_.from,
                  {}};
    const checkpoint::CheckpointFolder folder(options_.settings.save_dir);
    const FileLock lock(folder.path() / ".lock", folder.path());
    const auto path = record_path();
    if (std::filesystem::exists(path)) {
      auto found = read_record(path);
      require_same_adaptation(path, found, record);
      report(found);
      return found;
    }
    require(!folder.latest_step(), folder.path(),
            ": holds checkpoints of a run that is no adaptation (there is no adapt.json); use another "
            "--save-dir");
    require(
        !std::filesystem::exists(joined_path()), [&] { return joined_path(); },
        ": is of another adaptation (there is no adapt.json); use another --save-dir");
    if (has_choice && record.start.empty()) {
      const auto& valid = data_.valid.front();
      std::fprintf(stderr, "estimating the posterior over %zu domains on the valid split of %s\n",
                   base_.domains.size(), record.domain.c_str());
      const auto posterior = eval::estimate_posterior(
          base, valid, eval::default_sequences(valid.block_length()), posterior_batches);
      for (std::size_t d = 0; d < posterior.size(); ++d)
        record.posterior.emplace_back(base_.domains[d], posterior[d]);
      const auto highest = std::max_element(posterior.begin(), posterior.end());
      record.start = base_.domains[static_cast<std::size_t>(highest - posterior.begin())];
    }
    write_record(path, record);
    report(record);
    return record;
  }

  static void report(const Record& record) {
    if (!has_choice) return;
    if (!record.posterior.empty()) std::printf("%-16s %10s\n", "domain", "posterior");
    for (const auto& [name, p] : record.posterior) std::printf("%-16s %10.6f\n", name.c_str(), p);
    std::printf("%s starts from %s%s\n", record.domain.c_str(), record.start.c_str(),
                record.posterior.empty() ? "" : ", the most probable");
    flush_standard_output();
  }

  /// The whole model: the old experts as they are, and the new one, with the body that belongs to it.
  void join() const {
    const auto joined = joined_path(), last = options_.settings.save_dir / "checkpoint_last";
    if (std::filesystem::exists(joined))
      return durable::PartialFolder::remove_abandoned(durable::partial(joined));
    require(model_hash(options_.checkpoint, base_) == record_.hash, options_.checkpoint,
            ": has changed since the adaptation started; its experts do not belong to ", last,
            ", which is complete: join it to the right ones with demix-experts add");
    std::vector<checkpoint::ExpertSource> experts;
    for (const auto& domain : base_.domains) experts.push_back({options_.checkpoint, domain, domain});
    experts.push_back({last, record_.domain, record_.domain});
    checkpoint::compose(joined, options_.trained() == Mode::full ? last : options_.checkpoint, experts);
    std::fprintf(stderr, "joined: %s has all %zu experts\n", joined.c_str(), experts.size());
  }

  const Options options_;
  const data::Dictionary dictionary_;
  const checkpoint::Metadata base_;
  Model model_;
  const train::TrainingData data_;
  const Record record_;
};

/// The whole program, for main alone: see limit_spinning.
inline int program(int argc, char** argv) {
  limit_spinning(argv);
  return run_program("demix-adapt", [&] {
    StopSignal stop("demix-adapt");
    Options options;
    if (!parse_options(argc, argv, options)) return 0;
    device::Cpu device;
    // The base, with all its experts, is gone when training starts.
    const auto run = eval::with_model(
        device, options.checkpoint,
        [&](auto& base, const checkpoint::Metadata& metadata) -> std::function<int(StopSignal&)> {
          using Model = std::decay_t<decltype(base)>;
          // Values and gradients; the moments are of what is trained alone.
          constexpr std::size_t numbers = 2;
          train::require_memory_for_training(metadata.config, options.settings, 1, 1, numbers);
          const auto made = std::make_shared<Run<Model>>(base, metadata, options);
          return [made](StopSignal& signal) { return made->run(signal); };
        });
    return run(stop);
  });
}

}  // namespace demix::adapt
