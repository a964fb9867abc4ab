#pragma once
// What the benchmarks share: sizes, inputs, the check before the clock starts, and the machine's own limits
// that each figure is printed beside.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <vector>

#include "demix/core/philox.hpp"
#include "demix/device/cpu.hpp"

namespace demix::benchmarks {

/// N rows of C columns: a batch of 4 x 256 tokens and one of 16 x 256, widths of the small models and of
/// their feed-forward layers.
inline void rows_by_columns(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "C"})->ArgsProduct({{1024, 4096}, {768, 3072}})->UseRealTime();
}

/// n numbers in (-1, 1).
template <class T>
std::vector<T> inputs(std::size_t n, std::uint64_t seed) {
  std::vector<T> values(n);
  for (std::size_t i = 0; i < n; ++i)
    values[i] = static_cast<T>(
        2 * uniform_unit(philox(Seed{seed}, static_cast<std::uint32_t>(i), 0, 0, 0).word[0]) - 1);
  return values;
}

/// max |a - b| / max |b|.
inline double relative_error(const std::vector<float>& a, const std::vector<double>& b) {
  double error = 0, scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    error = std::max(error, std::fabs(static_cast<double>(a[i]) - b[i]));
    scale = std::max(scale, std::fabs(b[i]));
  }
  return error / scale;
}

/// Seconds of the fastest of `tries` calls.
template <class F>
double fastest(int tries, F f) {
  double best = INFINITY;
  for (int i = 0; i < tries; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

/// Bytes per second of a memcpy by all threads that reads bytes / 2 and writes as many.
inline double copy_bandwidth(double bytes) {
  device::Cpu cpu;
  const std::size_t chunk = 1 << 15,
                    chunks = std::max<std::size_t>(1, static_cast<std::size_t>(bytes / 2) / chunk);
  std::vector<char> from(chunk * chunks, 1), to(chunk * chunks);
  const double seconds = fastest(20, [&] {
    cpu.parallel_for(
        chunks, [&](std::size_t i) { std::memcpy(to.data() + i * chunk, from.data() + i * chunk, chunk); });
  });
  return 2 * static_cast<double>(chunk * chunks) / seconds;
}

/// FLOP/s of a square single-precision GEMM.
inline double gemm_peak() {
  device::Cpu cpu;
  const std::size_t n = 2048;
  const auto a = inputs<float>(n * n, 1), b = inputs<float>(n * n, 2);
  std::vector<float> c(n * n);
  const double seconds = fastest(5, [&] {
    cpu.gemm(device::Transpose::no, device::Transpose::no, n, n, n, 1.0f, a.data(), n, b.data(), n, 0.0f,
             c.data(), n);
  });
  return 2 * std::pow(static_cast<double>(n), 3) / seconds;
}

/// GB/s of the benchmark beside those of a memcpy with the same traffic.
inline void report_bytes(benchmark::State& state, double bytes_per_iteration) {
  state.counters["GB/s"] =
      benchmark::Counter(1e-9 * bytes_per_iteration, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["memcpy_GB/s"] = 1e-9 * copy_bandwidth(bytes_per_iteration);
}

/// GFLOP/s of the benchmark beside those of a large square GEMM.
inline void report_flops(benchmark::State& state, double flops_per_iteration) {
  static const double peak = gemm_peak();
  state.counters["GFLOP/s"] =
      benchmark::Counter(1e-9 * flops_per_iteration, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["gemm_GFLOP/s"] = 1e-9 * peak;
}

}  // namespace demix::benchmarks
