#pragma once
// Parameters live in contiguous regions: one that all domains share, and one per expert. A layout says where
// each parameter stands; an arena holds the numbers of one role (values, gradients, an optimizer moment) in
// that layout.

#include <atomic>
#include <cmath>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "demix/core/checked_size.hpp"
#include "demix/core/hash.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/parallel.hpp"
#include "demix/core/philox.hpp"
#include "demix/core/types.hpp"
#include "demix/device/array.hpp"

namespace demix {

/// How a parameter starts.
struct Initializer {
  enum class Kind { zeros, ones, normal, xavier_uniform } kind = Kind::zeros;
  double scale = 1;              // the standard deviation, or Xavier's gain
  std::ptrdiff_t zero_row = -1;  // a row of a normal matrix that starts, and is meant to stay, zero
  static Initializer zeros() { return {}; }
  static Initializer ones() { return {Kind::ones}; }
  static Initializer normal(double deviation, std::ptrdiff_t zero_row = -1) {
    return {Kind::normal, deviation, zero_row};
  }
  /// Uniform in +-gain sqrt(6 / (in + out)) (Glorot and Bengio 2010).
  static Initializer xavier_uniform(double gain = 1) { return {Kind::xavier_uniform, gain}; }
};

/// One named parameter, [rows, cols] (a vector has one row), somewhere in a region.
struct ParameterInfo {
  std::string name;
  std::size_t rows, cols, offset;
  bool vector;  // one-dimensional in files
  Initializer initializer;

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
  void align() { size_ = (size_ + alignment - 1) / alignment * alignment; }

  std::size_t size() const { return size_; }
  const std::vector<ParameterInfo>& parameters() const { return parameters_; }

 private:
  static constexpr std::size_t alignment = 16;

  ParameterRef add(std::string name, std::size_t rows, std::size_t cols, bool vector,
                   Initializer initializer) {
    parameters_.push_back({std::move(name), rows, cols, size_, vector, initializer});
    const ParameterRef ref{size_, rows, cols};
    size_ = checked_sum("parameters", size_, checked_product("parameters", rows, cols), alignment);
    size_ -= alignment;
    return ref;
  }

  std::size_t size_ = 0;
  std::vector<ParameterInfo> parameters_;
};

/// The shared region and the region that every expert repeats.
struct ParameterLayout {
  RegionLayout shared;
  RegionLayout expert;  // empty in a model without experts
};

/// Throws Error unless this can be the layout of a model: it has expert parameters if, and only if, the type
/// says `has_experts`, which decides what is saved; no parameter is empty; every name is there once, since a
/// name decides how its parameter starts, and can be that of a dataset in a checkpoint.
inline void validate(const ParameterLayout& layout, bool has_experts) {
  const auto& experts = layout.expert.parameters();
  require(has_experts || experts.empty(), "model: has_experts is false, but ", experts.size(),
          " parameters are declared in layout.expert, '", experts.empty() ? "" : experts.front().name,
          "' first: they would never be saved; set has_experts, or declare them in layout.shared");
  require(!has_experts || layout.expert.size() > 0,
          "model: has_experts is true, but no parameter is declared in layout.expert; declare an expert's "
          "parameters there, or set has_experts to false");
  std::set<std::string> names;
  for (const auto* region : {&layout.shared, &layout.expert})
    for (const auto& [name, rows, cols, offset, vector, initializer] : region->parameters()) {
      require(!name.empty() && name != "." && name.find('/') == std::string::npos &&
                  name.find('\0') == std::string::npos,
              "model: the name of a parameter cannot be that of a dataset in a checkpoint, which is not "
              "empty and "
              "has no '/': '",
              name, "'");
      require(rows > 0 && cols > 0, "model: parameter '", name, "' is empty: [", rows, ", ", cols, "]");
      require(names.insert(name).second, "model: two parameters are called '", name,
              "'; give each a name of its own");
    }
}

/// The numbers of one role: values, gradients, Adam's first or second moment.
template <device::Device D, class T>
class ParameterArena {
 public:
  using value_type = T;

  /// Allocates and zeroes `shared` and `experts` times `expert` of the layout.
  ParameterArena(D& device, const ParameterLayout& layout, std::size_t experts) {
    regions_.emplace_back(device, layout.shared.size());
    if (layout.expert.size() > 0)
      for (std::size_t e = 0; e < experts; ++e) regions_.emplace_back(device, layout.expert.size());
    fill_zero();
  }

  /// Region 0 is the shared one, region 1 + e is expert e's.
  std::size_t regions() const { return regions_.size(); }
  std::span<T> region(std::size_t r) { return {regions_[r].data(), regions_[r].size()}; }
  std::span<const T> region(std::size_t r) const { return {regions_[r].data(), regions_[r].size()}; }

  Matrix<T> shared(ParameterRef p) { return {regions_[0].data() + p.offset, p.rows, p.cols}; }
  Matrix<const T> shared(ParameterRef p) const { return {regions_[0].data() + p.offset, p.rows, p.cols}; }
  Matrix<T> expert(DomainId e, ParameterRef p) { return {expert_data(e) + p.offset, p.rows, p.cols}; }
  Matrix<const T> expert(DomainId e, ParameterRef p) const {
    return {expert_data(e) + p.offset, p.rows, p.cols};
  }

  void fill_zero() {
    for (auto& region : regions_) region.fill_zero();
  }

  std::size_t size() const {
    std::size_t total = 0;
    for (const auto& region : regions_) total += region.size();
    return total;
  }

 private:
  T* expert_data(DomainId e) const { return regions_.at(1 + static_cast<std::size_t>(index(e))).data(); }

  std::vector<device::Array<D, T>> regions_;
};

/// Writes a parameter's starting values, a function of the seed and the parameter's name alone.
template <class T>
void initialize(const ParameterInfo& parameter, Seed seed, std::span<T> out) {
  const auto& init = parameter.initializer;
  const std::uint64_t hash = fnv1a(parameter.name);
  const double bound = init.scale * std::sqrt(6.0 / static_cast<double>(parameter.rows + parameter.cols));
  for (std::size_t i = 0; i < out.size(); ++i) {
    double value = init.kind == Initializer::Kind::ones ? 1 : 0;
    if (init.kind == Initializer::Kind::normal || init.kind == Initializer::Kind::xavier_uniform) {
      const auto random = philox(seed, static_cast<std::uint32_t>(i),
                                 static_cast<std::uint32_t>(i >> 32) ^
                                     static_cast<std::uint32_t>(RandomStream::initialization) << 16,
                                 static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(hash >> 32));
      const double u = uniform_unit(random.word[0]), v = uniform_unit(random.word[1]);
      value = init.kind == Initializer::Kind::normal
                  ? init.scale * std::sqrt(-2 * std::log(u)) * std::cos(2 * 3.14159265358979323846 * v)
                  : bound * (2 * u - 1);
      if (init.zero_row >= 0 && i / parameter.cols == static_cast<std::size_t>(init.zero_row)) value = 0;
    }
    out[i] = static_cast<T>(value);
  }
}

/// Starting values for every region; all experts start alike, as copies of one feed-forward layer.
template <device::Device D, class T>
void initialize(D& device, const ParameterLayout& layout, Seed seed, ParameterArena<D, T>& values) {
  for (std::size_t r = 0; r < values.regions(); ++r) {
    const RegionLayout& region = r == 0 ? layout.shared : layout.expert;
    std::vector<T> host(region.size(), T(0));
    std::atomic<std::size_t> next = 0;
    parallel_region([&](int, int) {
      for (std::size_t p = next++; p < region.parameters().size(); p = next++) {
        const auto& info = region.parameters()[p];
        initialize(info, seed, std::span<T>(host).subspan(info.offset, info.size()));
      }
    });
    device.copy_to_device(values.region(r).data(), host.data(), host.size());
  }
}

}  // namespace demix
