#pragma once
// Where an adapted model starts, and which of its parameters it trains.

#include <string>
#include <utility>
#include <vector>

#include "demix/core/types.hpp"
#include "demix/optim/parameter_span.hpp"

namespace demix::adapt {

/// feedforward: what the new domain has for itself, or where it has nothing, the feed-forward layers of all
/// blocks. full: everything.
enum class Mode { feedforward, full };

namespace start_detail {

inline bool is_feed_forward(const std::string& name) {
  return name.find(".fc1.") != std::string::npos || name.find(".fc2.") != std::string::npos;
}

/// A parameter with a row per token of the vocabulary.
inline bool is_token_table(const std::string& name) {
  return name == "decoder.embed_tokens.weight" || name == "decoder.output_projection.weight";
}

/// The expert of a model's last domain.
template <class Model>
ExpertId last_expert(const Model& model) {
  return ExpertId(static_cast<int>(model.domains().size()) - 1);
}

}  // namespace start_detail

/// What adapting a model to its last domain trains. Mode feedforward: that domain's expert; without experts
/// the parameters fc1 and fc2 of every block, and with domain tokens the rows of the domain's token. Throws
/// Error for a model that has nothing of this.
template <class Model>
std::vector<optim::ParameterSpan> trained_spans(const Model& model, Mode mode) {
  if (mode == Mode::full) return optim::whole_regions(model.weights().master());
  if constexpr (Model::has_experts)
    return {{start_detail::last_expert(model), 0, model.layout().expert.size()}};
  auto spans = optim::spans_of(model.layout().shared, RegionId::shared(), start_detail::is_feed_forward);
  require(!spans.empty(), "the model has no parameter fc1 or fc2: its feed-forward layers are unknown");
  if constexpr (Model::prefix_length > 0)
    for (const auto& parameter : model.layout().shared.parameters())
      if (start_detail::is_token_table(parameter.name))
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
