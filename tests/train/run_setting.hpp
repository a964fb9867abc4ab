#pragma once
// A data-bin of two domains and runs of a small model on it.

#include <boost/test/unit_test.hpp>
#include <csignal>
#include <memory>

#include "checkpoint/fixtures.hpp"
#include "demix/comm/self.hpp"
#include "demix/data/indexed_file_writer.hpp"
#include "demix/text/vocabulary.hpp"
#include "demix/train/trainer.hpp"

namespace demix::test {

inline const std::vector<std::string> two_domains{"a", "b"};

/// The settings of a run of four updates, validated and saved every second.
struct RunSetting {
  explicit RunSetting(std::vector<std::string> names = two_domains) : domains(std::move(names)) {
    std::string dictionary;
    for (int i = 0; i < 7; ++i) dictionary += concat(i, " 1\n");
    fs::create_directories(data());
    write_bytes(data() / "dict.txt", dictionary);
    for (std::size_t d = 0; d < domains.size(); ++d) {
      write_text(domains[d], "train", static_cast<Token>(5 + d % 4));
      write_text(domains[d], "valid_" + domains[d], 4);
    }
    settings.experiment = "demix";
    settings.batch_size = 2;
    settings.update_freq = 2;
    settings.max_update = 4;
    settings.learning_rate = 0.01;
    settings.validate_interval = settings.save_interval = 2;
    settings.keep_checkpoints = 0;
    settings.log_interval = 1;
    settings.save_dir = folder.path / "run";
  }

  fs::path data() const { return folder.path / "data"; }

  void write_text(const std::string& domain, const std::string& split, Token first) const {
    fs::create_directories(data() / domain);
    data::TokenFileWriter writer(data() / domain / split, 11);
    for (Token t = 0; t < 600; ++t) writer.add(std::vector<Token>{first, 4 + t % 7, 5, 4 + t % 3, 2});
    writer.finish();
  }

  train::TrainingData open(std::size_t block_length, const std::vector<std::string>& names) const {
    std::vector<DomainId> ids;
    for (std::size_t d = 0; d < names.size(); ++d) ids.push_back(DomainId(static_cast<int>(d)));
    return train::open_data(data(), text::vocabulary_fingerprint(data()), names, ids,
                            text::Dictionary::load(data() / "dict.txt").size(), block_length);
  }

  /// Starts or continues the run in `save_dir`; what Trainer::run returns.
  template <class P, class O = optim::Adam, class Poll>
  bool train_with(const fs::path& save_dir, const typename O::Settings& optimizer, const Poll& poll) {
    settings.save_dir = save_dir;
    device::Cpu device;
    auto config = small_config();
    config.dropout = 0.1f;
    DEMixModel<device::Cpu, P, ops::Relu> model(device, config, domains, Seed{3});
    const auto text = open(model.text_length(), domains);
    train::Trainable trainable(model);
    train::Trainer<device::Cpu, P, comm::Self, O> trainer(
        trainable, comm::Self(), comm::Placement::whole(domains.size()), text, settings, optimizer);
    return trainer.run(poll);
  }
  template <class Poll>
  bool train(const fs::path& save_dir, const Poll& poll) {
    return train_with<Fp32>(save_dir, settings.adam, poll);
  }
  bool train(const fs::path& save_dir) {
    return train(save_dir, [] {});
  }

  const std::vector<std::string> domains;
  const TemporaryFolder folder;
  train::Settings settings;
};

/// The lines of a run, but for how fast it was.
inline std::vector<nlohmann::json> metrics(const fs::path& run) {
  std::ifstream in(run / "metrics.jsonl");
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(nlohmann::json::parse(line));
    lines.back().erase("tokens_per_second");
    BOOST_TEST(line.find("null") == std::string::npos);
  }
  return lines;
}

/// Stops a run at its n-th poll, counted from 0.
inline auto stop_at(std::size_t n) {
  return [n, polls = std::make_shared<std::size_t>(0)] {
    if ((*polls)++ == n) throw Stopped(SIGTERM);
  };
}

}  // namespace demix::test
