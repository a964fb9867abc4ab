#pragma once
// Runs of a small model by ranks that are threads of one process.

#include <functional>
#include <string>
#include <vector>

#include "comm/threads.hpp"
#include "eval/fake_scorer.hpp"
#include "train/run_setting.hpp"

namespace demix::test {

using demix::testing::ThreadComm;

/// A model on the way to a trainer, in which calls are heard, and can be made to fail.
template <class Model>
class Faulty final : public train::TrainableModel<typename Model::DeviceType, typename Model::PrecisionType> {
 public:
  using D = typename Model::DeviceType;
  using P = typename Model::PrecisionType;

  /// `before(what, text)` is called before the calls "weights", with no text, "accumulate_gradients" and
  /// "token_losses".
  Faulty(Model& model, std::function<void(const std::string&, const Batch&)> before)
      : model_(model), whole_(model), before_(std::move(before)), scorer_(*this) {}
  using typename train::TrainableModel<D, P>::Complete;
  D& device() const override { return model_.device(); }
  Weights<D, P>& weights() override {
    before_("weights", {});
    return model_.weights();
  }
  const ParameterLayout& layout() const override { return model_.layout(); }
  const ModelConfig& config() const override { return model_.config(); }
  ModelConfig dictionary_config() const override { return model_.dictionary_config(); }
  const std::vector<std::string>& domains() const override { return model_.domains(); }
  void accumulate_gradients(const Batch& batch, const ops::Dropout& dropout, GradientArena<D, P>& gradients,
                            LossTotals<D>& totals, const Complete& complete) override {
    before_("accumulate_gradients", batch);
    whole_.accumulate_gradients(batch, dropout, gradients, totals, complete);
  }
  eval::Scorer& scorer() override { return scorer_; }

 private:
  class HeardScorer final : public FakeScorer {
   public:
    explicit HeardScorer(Faulty& of) : FakeScorer(of.domains(), of.model_.text_length()), of_(of) {}
    using FakeScorer::token_losses;
    std::vector<double> token_losses(const Batch& batch) override {
      of_.before_("token_losses", batch);
      const auto losses = of_.model_.token_losses(batch);
      return {losses.begin(), losses.end()};
    }

   private:
    Faulty& of_;
  };

  Model& model_;
  train::Trainable<Model> whole_;
  std::function<void(const std::string&, const Batch&)> before_;
  HeardScorer scorer_;
};

/// What happens on a rank: poll(rank) at every poll, before(rank, call) in the model; both may throw.
struct Events {
  std::function<void(int)> poll = [](int) {};
  std::function<void(int, const std::string&)> before = [](int, const std::string&) {};
};

/// How a run ended on a rank: "done", "stopped", or the message of what it threw.
using Endings = std::vector<std::string>;

/// What one rank does of the setting's run in settings.save_dir; what Trainer::run returns.
template <class Model, comm::Communicator Comm>
bool run_rank(const RunSetting& setting, const train::Settings& settings, Comm comm,
              const comm::Placement& placement, const Events& events) {
  device::Cpu device(1);
  auto config = small_config();
  config.dropout = 0.1f;
  Model model(device, config, setting.domains,
              Model::has_experts ? placement.held_experts() : HeldExperts(0));
  initialize(device, model.layout(), Seed{3}, model.weights());
  auto text = setting.open(model.text_length(), {});
  for (const DomainId domain : placement.domains) {
    const auto open = [&](const char* split) {
      return data::open_split(setting.data(), setting.domains[index(domain)], split, 11, model.text_length());
    };
    text.domains.push_back(domain);
    text.train.push_back(open("train"));
    text.valid.push_back(open("valid"));
  }
  const int rank = placement.rank;
  Faulty<Model> faulty(model, [&](const std::string& call, const Batch&) { events.before(rank, call); });
  train::Trainer<device::Cpu, typename Model::PrecisionType, Comm> trainer(faulty, std::move(comm), placement,
                                                                           text, settings, settings.adam);
  return trainer.run([&] { events.poll(rank); });
}

/// The setting's run in `save_dir` on so many ranks, with so many micro-batches of each in an update; 0 ranks
/// stand for the communicator of one process.
template <class Model>
Endings run_on_ranks(const RunSetting& setting, const fs::path& save_dir, int ranks,
                     std::size_t micro_batches, const Events& events = {}) {
  auto settings = setting.settings;
  settings.save_dir = save_dir;
  settings.update_freq = micro_batches;
  const std::size_t domains = setting.domains.size();
  Endings endings(static_cast<std::size_t>(std::max(ranks, 1)));
  const auto end = [&](int rank, const auto& run) {
    auto& ending = endings[static_cast<std::size_t>(rank)];
    try {
      ending = run() ? "done" : "stopped";
    } catch (const std::exception& error) {
      ending = error.what();
    }
  };
  if (ranks == 0) {
    end(0, [&] {
      return run_rank<Model>(setting, settings, comm::Self(), comm::Placement::whole(domains), events);
    });
    return endings;
  }
  ThreadComm::run(ranks, [&](ThreadComm comm) {
    const int rank = comm.rank();
    const auto placement = Model::has_experts ? comm::Placement::by_domain(rank, ranks, domains)
                                              : comm::Placement::by_sequence(rank, ranks, domains);
    end(rank, [&] { return run_rank<Model>(setting, settings, std::move(comm), placement, events); });
  });
  return endings;
}

/// Every file of a checkpoint, by its name there.
inline std::map<std::string, std::string> files_of(const fs::path& checkpoint) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(checkpoint))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), checkpoint).string()] = read_bytes(entry.path());
  return files;
}

}  // namespace demix::test
