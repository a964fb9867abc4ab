#pragma once
// A model type as the programs know it. Including this compiles all that they do with the type; a program's
// own file needs program/model_type.hpp alone.

#include <concepts>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "demix/adapt/adaptation.hpp"
#include "demix/comm/self.hpp"
#include "demix/core/standard_streams.hpp"
#include "demix/program/model_type.hpp"
#include "demix/text/vocabulary.hpp"
#include "demix/train/experts_apart.hpp"
#include "demix/train/trainer.hpp"

namespace demix::program {

template <class Model>
class TypedModel final : public ModelType {
 public:
  using D = typename Model::DeviceType;
  using P = typename Model::PrecisionType;

  TypedModel(std::string name, data::Sampling sampling)
      : ModelType({std::move(name), sampling, Model::has_experts, Model::prefix_length, activations()}) {}

  std::shared_ptr<eval::Scorer> load(const checkpoint::ModelSource& source, int threads) const override {
    auto loaded = std::make_shared<Loaded>(source, threads);
    return {loaded, &loaded->scorer};
  }

  int train(const TrainOptions& options, comm::Any ranks, StopSignal& stop) const override {
    const auto& s = options.settings;
    const auto& domains = options.domains;
    D device = make_device(options.threads);
    const auto placement = traits.placement(ranks.rank(), ranks.size(), domains.size());
    Model model(device, options.config, domains,
                Model::has_experts ? placement.held_experts() : HeldExperts(0));
    initialize(device, model.layout(), s.seed, model.weights(), s.initial_values);
    const auto data = train::open_data(options.data, text::vocabulary_fingerprint(options.data), domains,
                                       placement.domains, options.config.vocabulary, model.text_length());
    std::optional<train::Adaptation> apart;
    if (options.freezes_shared)
      apart = train::experts_apart(model.weights().master(), domains, options.domains_at_start);
    train::Trainable<Model> trainable(model);
    train::Trainer<D, P, comm::Any> trainer(trainable, std::move(ranks), placement, data, s, s.adam, apart);
    if (placement.rank == 0) {
      std::fprintf(stderr, "%s: %zu parameters, %zu domains, %zu tokens per update, %s%d threads\n",
                   s.experiment.c_str(),
                   model.layout().shared.size() + model.weights().held().all() * model.layout().expert.size(),
                   domains.size(),
                   domains.size() * s.batch_size * s.update_freq * placement.replicas *
                       options.config.tokens_per_sample,
                   placement.ranks > 1 ? concat(placement.ranks, " ranks of ").c_str() : "", options.threads);
      if (apart)
        std::fprintf(stderr, "%s: the shared parameters stay as they are; %zu of %zu experts are trained\n",
                     s.experiment.c_str(), domains.size(), options.domains_at_start.size());
    }
    stop.defer("this micro-batch, or batch of validation");
    return trainer.run([&] { stop.poll(); }) ? 0 : 128 + trainer.stopped_by();
  }

  int adapt(const checkpoint::ModelSource& base, const AdaptOptions& options,
            StopSignal& stop) const override {
    const auto& a = options.adaptation;
    const auto& s = a.training;
    D device = make_device(options.threads);
    adapt::Adaptation<Model> adaptation(
        device, base, a,
        [&] {
          std::fprintf(stderr, "estimating the posterior over %zu domains on the valid split of %s\n",
                       base.metadata().domains.size(), a.domain.c_str());
        },
        [](const adapt::Record& record) {
          if (adapt::Adaptation<Model>::has_choice) print_start(record);
        });
    const auto on_ready = [&] {
      std::size_t trained = 0;
      for (const auto& span : adaptation.trained()) trained += span.count;
      std::fprintf(stderr, "%s: %zu parameters, %zu of them trained, %zu tokens per update, %d threads\n",
                   s.experiment.c_str(), adaptation.model().weights().size(), trained,
                   s.batch_size * s.update_freq * adaptation.model().config().tokens_per_sample,
                   options.threads);
      stop.defer("this micro-batch, or batch of validation");
    };
    if (!adaptation.train([&] { stop.poll(); }, on_ready)) return 128 + stop.received();
    if (Model::has_experts) {
      stop.end_at_once();  // the same command joins again
      if (const auto experts = adaptation.folder().join(adaptation.record()))
        std::fprintf(stderr, "joined: %s has all %zu experts\n", adaptation.folder().joined().c_str(),
                     experts);
    }
    return 0;
  }

 private:
  static std::vector<std::string> activations() {
    if constexpr (requires { typename Model::Network::FFN::Activation; })
      return ops::ActivationChoice<typename Model::Network::FFN::Activation>::names();
    else
      return {};
  }

  static D make_device(int threads) {
    if constexpr (requires(const D& device) { device.threads(); })
      return D(threads);
    else
      return D();
  }

  struct Loaded {
    Loaded(const checkpoint::ModelSource& source, int threads)
        : device(make_device(threads)),
          model(source.load<Model>(device, Model::Use::evaluation)),
          scorer(model.session()) {}

    D device;
    Model model;
    eval::SessionScorer<typename Model::Network> scorer;
  };

  static void print_start(const adapt::Record& record) {
    if (!record.posterior.empty()) std::printf("%-16s %10s\n", "domain", "posterior");
    for (const auto& [name, p] : record.posterior) std::printf("%-16s %10.6f\n", name.c_str(), p);
    std::printf("%s starts from %s%s\n", record.domain.c_str(), record.start.c_str(),
                record.posterior.empty() ? "" : ", the most probable");
    flush_standard_output();
  }
};

/// A line of a model list: `name` marks the checkpoints of the type.
template <class Model>
std::shared_ptr<const ModelType> model_type(std::string name,
                                            data::Sampling sampling = data::Sampling::balanced) {
  return std::make_shared<TypedModel<Model>>(std::move(name), sampling);
}

}  // namespace demix::program
