#pragma once
// The starting values of parameters.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "demix/core/hash.hpp"
#include "demix/core/parallel.hpp"
#include "demix/core/philox.hpp"
#include "demix/model/weights.hpp"

namespace demix {

namespace initialize_detail {

/// The parameter's own, but for one of a linear layer under `xavier`.
inline Initializer initializer_of(const ParameterInfo& parameter, InitialValues values) {
  if (parameter.initializer.kind != Initializer::Kind::layer || values == InitialValues::fairseq)
    return parameter.initializer;
  return parameter.vector ? Initializer::zeros() : Initializer::xavier_uniform();
}

}  // namespace initialize_detail

/// Writes the starting values of a parameter's elements `first`, first + 1, ..., as many as `out` has: a
/// function of the seed and the parameter's name alone.
template <class T>
void initialize(const ParameterInfo& parameter, Seed seed, std::span<T> out, std::size_t first = 0,
                InitialValues values = default_initial_values) {
  const Initializer init = initialize_detail::initializer_of(parameter, values);
  const std::uint64_t hash = fnv1a(parameter.name);
  using Kind = Initializer::Kind;
  const double bound =
      init.kind == Kind::xavier_uniform
          ? init.scale * std::sqrt(6.0 / static_cast<double>(parameter.rows + parameter.cols))
          : init.scale;
  for (std::size_t i = first; i < first + out.size(); ++i) {
    double value = init.kind == Kind::ones ? 1 : 0;
    if (init.kind != Kind::zeros && init.kind != Kind::ones) {
      const auto random = philox(seed, static_cast<std::uint32_t>(i),
                                 static_cast<std::uint32_t>(i >> 32) ^
                                     static_cast<std::uint32_t>(RandomStream::initialization) << 16,
                                 static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(hash >> 32));
      const double u = uniform_unit(random.word[0]), v = uniform_unit(random.word[1]);
      value = init.kind == Kind::normal
                  ? init.scale * std::sqrt(-2 * std::log(u)) * std::cos(2 * 3.14159265358979323846 * v)
                  : bound * (2 * u - 1);
      if (init.zero_row >= 0 && i / parameter.cols == static_cast<std::size_t>(init.zero_row)) value = 0;
    }
    out[i - first] = static_cast<T>(value);
  }
}

/// Starting values for every region; all experts start alike, as copies of one feed-forward layer. Waits for
/// the device.
template <device::Device D, Precision P>
void initialize(D& device, const ParameterLayout& layout, Seed seed, Weights<D, P>& weights,
                InitialValues values = default_initial_values) {
  using T = master_t<P>;
  std::vector<T> host;
  for (const RegionId region : weights.regions()) {
    if (region.is_shared() || region.expert() == weights.held().list().front()) {
      const RegionLayout& parameters = region.layout(layout);
      host.assign(parameters.size(), T(0));
      const auto fill = [&](int thread, int threads) {  // each thread its part of every parameter
        const auto t = static_cast<std::size_t>(thread), n = static_cast<std::size_t>(threads);
        for (const auto& info : parameters.parameters()) {
          const std::size_t first = info.size() * t / n, last = info.size() * (t + 1) / n;
          initialize(info, seed, std::span<T>(host).subspan(info.offset + first, last - first), first,
                     values);
        }
      };
      if constexpr (requires { device.threads(); })
        parallel_region(device.threads(), fill);
      else
        parallel_region(fill);
    }
    weights.assign(region, [&](std::span<T> numbers) {
      device.copy_to_device(numbers.data(), host.data(), numbers.size());
    });
  }
}

}  // namespace demix
