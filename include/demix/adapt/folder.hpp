#pragma once
// The save folder of an adaptation: its record, and the whole model at its end.

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "demix/adapt/record.hpp"
#include "demix/adapt/settings.hpp"
#include "demix/checkpoint/compose.hpp"
#include "demix/checkpoint/folder.hpp"
#include "demix/core/domain_name.hpp"
#include "demix/core/file_lock.hpp"

namespace demix::adapt {

class Folder {
 public:
  /// Of adapting the model that `base` describes.
  Folder(Settings settings, checkpoint::Metadata base)
      : settings_(std::move(settings)), base_(std::move(base)) {}

  /// The record that stands in the folder, or a new one, which then stands there. A new one starts where the
  /// settings say; else, where there is something to choose, at the domain with the highest `posterior()`
  /// [domains of the base]. Throws Error for the folder of another run.
  Record record(bool has_choice, const std::function<std::vector<double>()>& posterior) const {
    Record record{settings_.domain,
                  name_of(settings_.mode),
                  settings_.checkpoint.string(),
                  base_.experiment,
                  model_hash(settings_.checkpoint, base_),
                  base_.step,
                  settings_.from,
                  {}};
    const checkpoint::CheckpointFolder folder(settings_.training.save_dir);
    const FileLock lock(folder.path() / ".lock", folder.path());
    const auto path = record_path();
    if (std::filesystem::exists(path)) {
      Record found = read_record(path);
      require_same_adaptation(path, found, record);
      return found;
    }
    require(
        !folder.latest_step(), folder.path(),
        ": holds checkpoints of a run that is no adaptation (there is no adapt.json); use another save_dir");
    require(
        !std::filesystem::exists(joined()), [&] { return joined().string(); },
        ": is of another adaptation (there is no adapt.json); use another save_dir");
    if (has_choice && record.start.empty()) {
      const auto probabilities = posterior();
      for (std::size_t d = 0; d < probabilities.size(); ++d)
        record.posterior.emplace_back(base_.domains[d], probabilities[d]);
      const auto highest = std::max_element(probabilities.begin(), probabilities.end());
      record.start = base_.domains[static_cast<std::size_t>(highest - probabilities.begin())];
    }
    write_record(path, record);
    return record;
  }

  /// The base's domain where `record` starts. Throws Error when it has none of that name.
  DomainId start(const Record& record) const {
    const auto found = find_domain(base_.domains, record.start);
    require(
        found.has_value(), [&] { return record_path().string(); }, ": its start '", record.start,
        "' is no domain of ", settings_.checkpoint);
    return *found;
  }

  /// Where `join` puts the whole model.
  std::filesystem::path joined() const { return settings_.training.save_dir / "joined"; }

  /// Writes the whole model of a base with experts: the old ones as they are, and the new one, with the body
  /// that belongs to it. Returns how many experts it has; 0: it was there already. Throws Error when the base
  /// is no longer what it was.
  std::size_t join(const Record& record) const {
    const auto last = settings_.training.save_dir / "checkpoint_last";
    if (std::filesystem::exists(joined())) {
      durable::PartialFolder::remove_abandoned(durable::partial(joined()));
      return 0;
    }
    require(model_hash(settings_.checkpoint, base_) == record.hash, settings_.checkpoint,
            ": has changed since the adaptation started; its experts do not belong to ", last,
            ", which is complete: join it to the right ones with demix-experts add");
    std::vector<checkpoint::ExpertSource> experts;
    for (const auto& domain : base_.domains) experts.push_back({settings_.checkpoint, domain, domain});
    experts.push_back({last, record.domain, record.domain});
    checkpoint::compose(joined(), settings_.mode == Mode::full ? last : settings_.checkpoint, experts);
    return experts.size();
  }

 private:
  std::filesystem::path record_path() const { return settings_.training.save_dir / "adapt.json"; }

  const Settings settings_;
  const checkpoint::Metadata base_;
};

}  // namespace demix::adapt
