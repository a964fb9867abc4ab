#pragma once

#include <utility>

#include "demix/eval/scorer.hpp"

namespace demix::test {

/// A model of no parameters, for tests to say what it says.
class FakeScorer : public eval::Scorer {
 public:
  /// Counts its sequences, and how much each has read.
  struct FakeCache final : Cache {
    explicit FakeCache(std::size_t sequences) : read(sequences, 0) {}
    void keep(std::span<const std::size_t> kept) override {
      std::vector<std::size_t> some;
      for (const std::size_t s : kept) some.push_back(read.at(s));
      read = std::move(some);
    }
    void clear() override { std::fill(read.begin(), read.end(), 0); }
    std::vector<std::size_t> read;
  };

  explicit FakeScorer(std::vector<std::string> domains, std::size_t text_length = 4)
      : domains_(std::move(domains)), text_length_(text_length) {}

  const ModelConfig& config() const override { return config_; }
  const std::vector<std::string>& domains() const override { return domains_; }
  bool has_experts() const override { return true; }
  std::size_t prefix_length() const override { return 0; }
  std::size_t text_length() const override { return text_length_; }
  std::vector<double> next_logits(const Batch&) override { throw Error("not here"); }
  std::unique_ptr<Cache> make_cache(std::size_t sequences) const override {
    return std::make_unique<FakeCache>(sequences);
  }
  std::vector<double> token_losses(const Batch& batch, Cache& cache) override {
    for (auto& read : of(batch, cache).read) read += batch.sequence_length;
    return token_losses(batch);
  }
  std::vector<double> next_logits(const Batch&, Cache&) override { throw Error("not here"); }
  using Scorer::token_losses;

 protected:
  /// The cache, if it has the batch's sequences.
  static FakeCache& of(const Batch& batch, Cache& cache) {
    auto& fake = dynamic_cast<FakeCache&>(cache);
    require(fake.read.size() == batch.sequences(), "a cache of ", fake.read.size(),
            " sequences for a batch of ", batch.sequences());
    return fake;
  }

 private:
  std::vector<std::string> domains_;
  std::size_t text_length_;
  ModelConfig config_;
};

}  // namespace demix::test
