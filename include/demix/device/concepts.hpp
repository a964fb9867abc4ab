#pragma once
// What a device must provide. The model, the optimizer and the trainer are written against this page only.

#include <concepts>
#include <cstddef>

namespace demix::device {

enum class Transpose : bool { no = false, yes = true };

/// A kernel that touches nothing: what the concept is tried with.
struct NullRowKernel {
  template <class Team>
  void operator()(Team&, std::size_t) const {}
};

/// A place where memory lives and kernels run.
///
/// - `allocate<T>(n)` / `deallocate(p, n)`: 64-byte aligned, uninitialised memory of the device.
/// - `copy_to_device`, `copy_to_host`: return when the copy is done.
/// - `copy` (within the device), `fill_zero`, `rows`, `gemm`: happen in the order of the calls, and may be
///   submitted only when the call returns.
/// - `rows(n, kernel)`: calls `kernel(team, r)` once for every row r in [0, n), in any order, possibly in
/// parallel.
/// - `gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)`: c = alpha op(a) op(b) + beta c, row-major,
///   op(a) [m, k], op(b) [k, n], c [m, n]; c must alias neither a nor b.
/// - `synchronize()`: returns when everything submitted is done.
template <class D>
concept Device = requires(D device, float* f, const float* cf, std::size_t n, Transpose t) {
  { D::name } -> std::convertible_to<const char*>;
  { device.template allocate<float>(n) } -> std::same_as<float*>;
  device.deallocate(f, n);
  device.copy_to_device(f, cf, n);
  device.copy_to_host(f, cf, n);
  device.copy(f, cf, n);
  device.fill_zero(f, n);
  device.rows(n, NullRowKernel{});
  device.gemm(t, t, n, n, n, 1.0f, cf, n, cf, n, 0.0f, f, n);
  device.synchronize();
};

}  // namespace demix::device
