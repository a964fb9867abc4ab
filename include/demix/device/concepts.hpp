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

/// A place where memory lives and kernels run. Work is done in the order in which it was submitted.
///
/// - `allocate<T>(n)` / `deallocate(p, n)`: 64-byte aligned, uninitialised memory of the device.
/// - `allocate_host<T>(n)` / `deallocate_host(p, n)`: host memory that `upload` and `download` can leave to.
/// - `rows(n, kernel)`: calls `kernel(team, r)` once for every row r in [0, n), in any order, possibly in
///   parallel.
/// - `gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)`: c = alpha op(a) op(b) + beta c, row-major,
///   op(a) [m, k], op(b) [k, n], c [m, n]; c must alias neither a nor b. Operands have one type; c, alpha and
///   beta have the type in which their products are accumulated.
/// - `copy` (within the device), `fill_zero`.
/// - `upload`, `download`: copies from and to the host memory of `allocate_host`, which must stay as it is
///   until an event recorded after them is done.
/// - `Event(device)`: one that was never recorded. It can be moved.
/// - `record(event)`: the event is done once all that was submitted before is. `done(event)` asks; one that
///   was never recorded is done.
///
/// These submit and return. The following wait for the device:
///
/// - `wait(event)`: until it is done.
/// - `synchronize()`: until everything submitted is.
/// - `copy_to_device`, `copy_to_host`: copies from and to any host memory; return when the copy is done.
template <class D>
concept Device = requires(D device, float* f, const float* cf, std::size_t n, Transpose t,
                          typename D::Event event) {
  { D::name } -> std::convertible_to<const char*>;
  { device.template allocate<float>(n) } -> std::same_as<float*>;
  device.deallocate(f, n);
  { device.template allocate_host<float>(n) } -> std::same_as<float*>;
  device.deallocate_host(f, n);
  device.upload(f, cf, n);
  device.download(f, cf, n);
  device.copy_to_device(f, cf, n);
  device.copy_to_host(f, cf, n);
  device.copy(f, cf, n);
  device.fill_zero(f, n);
  device.rows(n, NullRowKernel{});
  device.gemm(t, t, n, n, n, 1.0f, cf, n, cf, n, 0.0f, f, n);
  device.record(event);
  { device.done(event) } -> std::same_as<bool>;
  device.wait(event);
  device.synchronize();
}
&&std::constructible_from<typename D::Event, D&>&& std::move_constructible<typename D::Event>;

}  // namespace demix::device
