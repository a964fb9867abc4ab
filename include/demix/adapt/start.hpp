#pragma once
// Where an adapted model starts, and which of its parameters it trains.

#include <utility>
#include <vector>

#include "demix/adapt/settings.hpp"
#include "demix/core/types.hpp"
#include "demix/optim/parameter_span.hpp"

namespace demix::adapt {

namespace start_detail {

/// The expert of a model's last domain.
template <class Model>
ExpertId last_expert(const Model& model) {
  return ExpertId(static_cast<int>(model.domains().size()) - 1);
}

}  // namespace start_detail

/// What adapting a model to its last domain trains. Mode feedforward: that domain's expert; without experts
/// the feed-forward layers of all blocks, and with domain tokens the rows of the domain's token. Throws
/// Error for a model that has nothing of this.
template <class Model>
std::vector<optim::ParameterSpan> trained_spans(const Model& model, Mode mode) {
  if (mode == Mode::full) return optim::whole_regions(model.weights().master());
  if constexpr (Model::has_experts)
    return {{start_detail::last_expert(model), 0, model.layout().expert.size()}};
  auto spans = optim::spans_of(model.layout().shared, RegionId::shared(), [](const ParameterInfo& parameter) {
    return parameter.role == ParameterRole::feed_forward;
  });
  require(!spans.empty(), "the model's feed-forward layers have no parameters to train");
  if constexpr (Model::prefix_length > 0)
    for (const auto& parameter : model.layout().shared.parameters())
      if (parameter.role == ParameterRole::token_table)
        spans.push_back(
            {RegionId::shared(), parameter.offset + parameter.size() - parameter.cols, parameter.cols});
  return spans;
}

/// Gives `model` the values of `base`. Its last domain is new: the expert of that domain, and the row of its
/// token at the end of a token table, start as copies of those of base's domain `start`. The model has base's
/// configuration, and either all of base's domains before the new one or (experts only) none.
template <class Model>
void start_from(const Model& base, DomainId start, Model& model) {
  auto& device = model.device();
  const auto from = std::as_const(base.weights()).master().region(RegionId::shared());
  model.weights().assign(RegionId::shared(), [&](auto to) {
    for (std::size_t p = 0; p < base.layout().shared.parameters().size(); ++p) {
      const auto& there = base.layout().shared.parameters()[p];
      const auto& here = model.layout().shared.parameters()[p];
      require(here.rows >= there.rows, "adaptation: parameter '", here.name, "' has ", here.rows,
              " rows, fewer than the base's ", there.rows);
      device.copy(to.data() + here.offset, from.data() + there.offset, there.size());
      if (here.rows == there.rows) continue;
      const std::size_t row = base.dictionary_size() + index(start);
      device.copy(to.data() + here.offset + there.size(), from.data() + there.offset + row * there.cols,
                  there.cols);
    }
  });
  if constexpr (Model::has_experts) {
    const auto expert = std::as_const(base.weights()).master().region(base.network().expert_of(start));
    model.weights().assign(start_detail::last_expert(model),
                           [&](auto to) { device.copy(to.data(), expert.data(), expert.size()); });
  }
}

}  // namespace demix::adapt
