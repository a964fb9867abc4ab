#pragma once
// One optimizer update: micro-batches, gradients, ranks, clipping, optimizer.

#include <cstdint>
#include <exception>
#include <functional>
#include <utility>
#include <vector>

#include "demix/comm/agreement.hpp"
#include "demix/data/batcher.hpp"
#include "demix/optim/gradient_norm.hpp"
#include "demix/optim/optimizer.hpp"
#include "demix/train/gradient_sync.hpp"
#include "demix/train/trainable_model.hpp"
#include "demix/train/update_statistics.hpp"

namespace demix::train {

/// What an update is made of.
struct UpdateSettings {
  std::size_t micro_batches = 1;  // of one rank
  double clip_norm = 0;           // 0: no clipping
  Seed seed;                      // of dropout
  /// Every expert is trained by the gradient of its own text's mean loss, clipped by its own norm, as if it
  /// were alone; else all parameters by that of the mean loss of all text, clipped by the norm of all of it.
  bool experts_apart = false;
};

/// Makes updates of a model, one after the other. It keeps gradients and the optimizer's state.
template <device::Device D, Precision P, comm::Communicator Comm, optim::Optimizer<D, P> O>
class Updates {
 public:
  using State = optim::OptimizerState<D, P, O>;

  /// Model and batcher must outlive this; `trained` are of what is held here. Throws Error for experts apart
  /// of a model without an expert per domain. Collective.
  Updates(TrainableModel<D, P>& model, const data::TrainBatcher& batcher, Comm world,
          comm::Placement placement, const UpdateSettings& settings,
          const typename O::Settings& optimizer_settings, std::vector<optim::ParameterSpan> trained)
      : model_(model),
        batcher_(batcher),
        sync_(std::move(world), std::move(placement), model.layout()),
        settings_(settings),
        gradients_(model.device(), model.layout(), model.weights().held()),
        state_(model.device(), optimizer_settings, std::move(trained)),
        agreement_(model.device(), sync_.world()),
        totals_(model.device(), model.domains().size()),
        statistics_(model.device(), model.domains().size(), model.weights().held().all()),
        scales_(model.device()),
        scratch_(model.device()) {
    if (!agreement_.is_alone())
      complete_ = [this](std::size_t shared, std::size_t expert) {
        sync_.sum_from(gradients_, shared, expert);
      };
    const std::size_t experts = model.weights().held().all();
    if (settings.experts_apart) {
      require(experts == model.domains().size(), "experts apart: a model of ", model.domains().size(),
              " domains has ", experts, " experts, expected one for each");
      scales_.reserve(1 + experts);
    }
    for (const auto& span : state_.trained())
      if (sync_.placement().speaks_for(span.region)) counted_.push_back(span);
  }

  State& state() { return state_; }
  comm::Agreement<D, Comm>& agreement() { return agreement_; }
  GradientArena<D, P>& gradients() { return gradients_; }

  /// Update number `number` (from 1). `poll` is called before each micro-batch. Where it throws on a rank, or
  /// a micro-batch does, all ranks throw, like Agreement::meet, and nothing is changed. Nor is it where the
  /// gradient's norm is not finite, or there is no token, and the report says so. Collective. Waits for the
  /// device once.
  UpdateReport update(std::uint64_t number, double learning_rate, const std::function<void()>& poll) {
    D& device = model_.device();
    gradients_.fill_zero();
    totals_.clear();
    sync_.begin();
    const std::exception_ptr problem = accumulate(number, poll);
    if (agreement_.is_alone()) agreement_.meet(problem);
    statistics_.assign(totals_, problem != nullptr);
    sync_.finish(gradients_);
    sync_.all_reduce(statistics_.sums());
    optim::accumulate_square_norms(device, gradients_, counted_, scratch_, statistics_.squares());
    sync_.all_reduce(statistics_.norms());
    optim::clip_scale(device, statistics_.tokens(), statistics_.token_counts(), statistics_.squares(),
                      statistics_.square_count(), settings_.clip_norm, statistics_.gradient_scale());
    if (settings_.experts_apart) {
      optim::expert_clip_scales(device, statistics_.tokens(), statistics_.squares(),
                                statistics_.token_counts(), settings_.clip_norm, statistics_.gradient_scale(),
                                scales_.data());
      state_.step_by_region(model_.weights(), gradients_, {number, learning_rate, scales_.data()});
    } else {
      state_.step(model_.weights(), gradients_, {number, learning_rate, statistics_.gradient_scale()});
    }
    UpdateReport report = statistics_.read();
    if (report.interrupted > 0) agreement_.meet(problem);
    return report;
  }

 private:
  /// The gradient of this rank's micro-batches. Returns what ended them early: the other ranks wait for this
  /// one in the sums.
  std::exception_ptr accumulate(std::uint64_t number, const std::function<void()>& poll) {
    try {
      for (std::uint64_t micro = 0; micro < settings_.micro_batches; ++micro) {
        poll();
        const std::uint64_t position =
            sync_.placement().position((number - 1) * settings_.micro_batches + micro);
        model_.accumulate_gradients(
            batcher_.batch(position),
            {model_.config().dropout, settings_.seed, static_cast<std::uint32_t>(position)}, gradients_,
            totals_, micro + 1 == settings_.micro_batches ? complete_ : nothing_);
      }
    } catch (...) {
      return std::current_exception();
    }
    return nullptr;
  }

  TrainableModel<D, P>& model_;
  const data::TrainBatcher& batcher_;
  GradientSync<Comm> sync_;
  UpdateSettings settings_;
  GradientArena<D, P> gradients_;
  State state_;
  comm::Agreement<D, Comm> agreement_;
  LossTotals<D> totals_;
  UpdateStatistics<D> statistics_;
  device::Array<D, double> scales_;  // of the gradients of regions, where experts are trained apart
  device::Array<D, gradient_t<P>> scratch_;
  using Complete = typename TrainableModel<D, P>::Complete;
  Complete complete_;  // sums what is complete over the ranks; empty for one
  const Complete nothing_;
  std::vector<optim::ParameterSpan> counted_;  // this rank's part of the gradient's norm
};

}  // namespace demix::train
