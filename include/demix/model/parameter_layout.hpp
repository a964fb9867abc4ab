#pragma once
// Where parameters stand. A model's parameters live in regions: one that all domains share, and one per
// expert, which all experts lay out alike.

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "demix/core/checked_size.hpp"
#include "demix/core/error.hpp"
#include "demix/core/types.hpp"

namespace demix {

/// How a parameter starts.
struct Initializer {
  enum class Kind { zeros, ones, normal, layer, xavier_uniform } kind = Kind::zeros;
  double scale = 1;              // the standard deviation, the bound, or Xavier's gain
  std::ptrdiff_t zero_row = -1;  // a row of a normal matrix that starts, and is meant to stay, zero
  static Initializer zeros() { return {}; }
  static Initializer ones() { return {Kind::ones}; }
  static Initializer normal(double deviation, std::ptrdiff_t zero_row = -1) {
    return {Kind::normal, deviation, zero_row};
  }
  /// Weights and biases of a layer with `in` inputs, as InitialValues says.
  static Initializer linear_layer(std::size_t in) {
    return {Kind::layer, 1 / std::sqrt(static_cast<double>(in))};
  }
  /// Uniform in +-gain sqrt(6 / (in + out)) (Glorot and Bengio 2010).
  static Initializer xavier_uniform(double gain = 1) { return {Kind::xavier_uniform, gain}; }
};

/// How the linear layers of a model start whose initializer is linear_layer: as PyTorch starts a layer, and
/// so fairseq those of its feed-forward layers, uniform in +-1 / sqrt(inputs), weights and biases; or by
/// Glorot and Bengio 2010, weights uniform in +-sqrt(6 / (inputs + outputs)) and biases zero.
enum class InitialValues { fairseq, xavier };
/// The one that learns better on the quickstart's text (docs/training.md).
inline constexpr InitialValues default_initial_values = InitialValues::xavier;

/// What adapting a model needs to know of a parameter: that it is of a feed-forward layer, or has a row per
/// token of the vocabulary.
enum class ParameterRole { other, feed_forward, token_table };

/// One named parameter, [rows, cols] (a vector has one row), somewhere in a region.
struct ParameterInfo {
  std::string name;
  std::size_t rows, cols, offset;
  bool vector;  // one-dimensional in files
  Initializer initializer;
  ParameterRole role = ParameterRole::other;

  std::size_t size() const { return rows * cols; }
};

/// What a layer keeps to find a parameter in an arena.
struct ParameterRef {
  std::size_t offset = 0, rows = 0, cols = 0;
};

/// The parameters of one region, in order. Parameters stand back to back, so that neighbours can be read as
/// one matrix (q, k and v projections are); `align` starts the next one on a cache line.
class RegionLayout {
 public:
  ParameterRef matrix(std::string name, std::size_t rows, std::size_t cols, Initializer initializer) {
    return add(std::move(name), rows, cols, false, initializer);
  }
  ParameterRef vector(std::string name, std::size_t cols, Initializer initializer) {
    return add(std::move(name), 1, cols, true, initializer);
  }
  /// Matrices of one shape, back to back: the result is [names * rows, cols], one matrix to a GEMM.
  ParameterRef stacked_matrices(const std::vector<std::string>& names, std::size_t rows, std::size_t cols,
                                Initializer initializer) {
    const std::size_t offset = size_;
    for (const auto& name : names) matrix(name, rows, cols, initializer);
    return {offset, names.size() * rows, cols};
  }
  /// Vectors of one length, back to back: [1, names * cols].
  ParameterRef stacked_vectors(const std::vector<std::string>& names, std::size_t cols,
                               Initializer initializer) {
    const std::size_t offset = size_;
    for (const auto& name : names) vector(name, cols, initializer);
    return {offset, 1, names.size() * cols};
  }
  /// make(), all of whose parameters here have this role.
  template <class Make>
  auto with_role(ParameterRole role, Make make) {
    const ParameterRole before = std::exchange(role_, role);
    auto result = make();
    role_ = before;
    return result;
  }
  void align() { size_ = (size_ + alignment - 1) / alignment * alignment; }

  std::size_t size() const { return size_; }
  const std::vector<ParameterInfo>& parameters() const { return parameters_; }

 private:
  static constexpr std::size_t alignment = 16;

  ParameterRef add(std::string name, std::size_t rows, std::size_t cols, bool vector,
                   Initializer initializer) {
    parameters_.push_back({std::move(name), rows, cols, size_, vector, initializer, role_});
    const ParameterRef ref{size_, rows, cols};
    size_ = checked_sum("parameters", size_, checked_product("parameters", rows, cols), alignment);
    size_ -= alignment;
    return ref;
  }

  std::size_t size_ = 0;
  ParameterRole role_ = ParameterRole::other;
  std::vector<ParameterInfo> parameters_;
};

/// The two groups of regions: the shared region, once, and the expert region, once per expert.
struct ParameterLayout {
  RegionLayout shared;
  RegionLayout expert;  // empty in a model without experts

  /// Where the parameters of a block begin.
  struct BlockStart {
    std::size_t shared, expert;  // elements of the regions
  };
  /// Of a transformer's blocks in their order, and at last of what comes after them, the final norm and an
  /// output projection that is not tied. No block has parameters behind the next one's start.
  std::vector<BlockStart> block_starts;
};

/// Names one region.
class RegionId {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): an expert's name is the name of its region
  constexpr RegionId(ExpertId expert) : number_(static_cast<std::int32_t>(expert)) {}
  static constexpr RegionId shared() { return RegionId(ExpertId(-1)); }

  constexpr bool is_shared() const { return number_ < 0; }
  /// Of a region that is not the shared one.
  constexpr ExpertId expert() const { return ExpertId(number_); }
  const RegionLayout& layout(const ParameterLayout& layout) const {
    return is_shared() ? layout.shared : layout.expert;
  }

  friend constexpr auto operator<=>(RegionId, RegionId) = default;

 private:
  std::int32_t number_;
};

/// Which of a model's E experts a process holds.
class HeldExperts {
 public:
  /// All of them.
  explicit HeldExperts(std::size_t experts) : slots_(experts) {
    for (std::size_t e = 0; e < experts; ++e) {
      held_.push_back(ExpertId(static_cast<std::int32_t>(e)));
      slots_[e] = e;
    }
  }
  /// These, in ascending order. Throws Error for one that is not below `experts`, or another order.
  HeldExperts(std::size_t experts, std::vector<ExpertId> held)
      : held_(std::move(held)), slots_(experts, not_held) {
    for (std::size_t slot = 0; slot < held_.size(); ++slot) {
      require(slot == 0 || held_[slot - 1] < held_[slot],
              "held experts: expected each once, in ascending order");
      require(index(held_[slot]) < experts, "expert ", index(held_[slot]), " of a model with ", experts,
              " experts");
      slots_[index(held_[slot])] = slot;
    }
  }

  const std::vector<ExpertId>& list() const { return held_; }
  std::size_t size() const { return held_.size(); }
  std::size_t all() const { return slots_.size(); }
  bool contains(ExpertId expert) const {
    return index(expert) < slots_.size() && slots_[index(expert)] != not_held;
  }
  /// The place of an expert among the held ones. Throws Error for one that is not held.
  std::size_t slot(ExpertId expert) const {
    require(contains(expert), "expert ", index(expert), " is not held here, only ", size(), " of ", all(),
            " experts are");
    return slots_[index(expert)];
  }

 private:
  static constexpr std::size_t not_held = static_cast<std::size_t>(-1);
  std::vector<ExpertId> held_;
  std::vector<std::size_t> slots_;  // by expert
};

/// Throws Error unless this can be the layout of a model: it has expert parameters if, and only if, the type
/// says `has_experts`, which decides what is saved; no parameter is empty; every name is there once, since a
/// name decides how its parameter starts, and can be that of a dataset in a checkpoint.
inline void validate(const ParameterLayout& layout, bool has_experts) {
  const auto& experts = layout.expert.parameters();
  require(
      has_experts || experts.empty(), "model: has_experts is false, but ", experts.size(),
      " parameters are declared in layout.expert, '", [&] { return experts.front().name; },
      "' first: they would never be saved; set has_experts, or declare them in layout.shared");
  require(!has_experts || layout.expert.size() > 0,
          "model: has_experts is true, but no parameter is declared in layout.expert; declare an expert's "
          "parameters there, or set has_experts to false");
  std::vector<std::string> names;
  for (const auto* region : {&layout.shared, &layout.expert})
    for (const auto& [name, rows, cols, offset, vector, initializer, role] : region->parameters()) {
      require(!name.empty() && name != "." && name.find('/') == std::string::npos &&
                  name.find('\0') == std::string::npos,
              "model: the name of a parameter cannot be that of a dataset in a checkpoint, which is not "
              "empty and "
              "has no '/': '",
              name, "'");
      require(rows > 0 && cols > 0, "model: parameter '", name, "' is empty: [", rows, ", ", cols, "]");
      require(std::find(names.begin(), names.end(), name) == names.end(),
              "model: two parameters are called '", name, "'; give each a name of its own");
      names.push_back(name);
    }
}

}  // namespace demix
