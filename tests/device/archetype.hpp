#pragma once
// The minimal archetype of the Device concept: what it asks for and nothing else.

#include <cstdlib>
#include <cstring>

#include "demix/device/concepts.hpp"
#include "demix/device/cpu_team.hpp"

namespace demix::testing {

/// One thread, plain loops. It counts what is allocated.
class MinimalDevice {
 public:
  static constexpr const char* name = "minimal";

  struct Event {
    explicit Event(MinimalDevice&) {}
  };
  template <class T>
  T* allocate(std::size_t n) {
    ++allocations;
    return static_cast<T*>(std::aligned_alloc(64, (n * sizeof(T) + 64) / 64 * 64));
  }
  template <class T>
  void deallocate(T* pointer, std::size_t) {
    --allocations;
    std::free(pointer);
  }
  template <class T>
  void copy(T* to, const T* from, std::size_t n) {
    if (n) std::memcpy(to, from, n * sizeof(T));
  }
  template <class T>
  void copy_to_device(T* to, const T* from, std::size_t n) {
    copy(to, from, n);
  }
  template <class T>
  void copy_to_host(T* to, const T* from, std::size_t n) {
    copy(to, from, n);
  }
  template <class T>
  T* allocate_host(std::size_t n) {
    return allocate<T>(n);
  }
  template <class T>
  void deallocate_host(T* pointer, std::size_t n) {
    deallocate(pointer, n);
  }
  template <class T>
  void upload(T* to, const T* from, std::size_t n) {
    copy(to, from, n);
  }
  template <class T>
  void download(T* to, const T* from, std::size_t n) {
    copy(to, from, n);
  }
  void record(Event&) {}
  bool done(const Event&) { return true; }
  void wait(const Event&) {}
  template <class T>
  void fill_zero(T* to, std::size_t n) {
    if (n) std::memset(to, 0, n * sizeof(T));
  }
  void synchronize() {}

  template <class Kernel>
  void rows(std::size_t n, const Kernel& kernel) {
    device::CpuTeam team;
    for (std::size_t r = n; r-- > 0;) kernel(team, r);
  }

  template <class T>
  void gemm(device::Transpose ta, device::Transpose tb, std::size_t m, std::size_t n, std::size_t k, T alpha,
            const T* a, std::size_t lda, const T* b, std::size_t ldb, T beta, T* c, std::size_t ldc) {
    const bool at = ta == device::Transpose::yes, bt = tb == device::Transpose::yes;
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        T sum = 0;
        for (std::size_t l = 0; l < k; ++l)
          sum += (at ? a[l * lda + i] : a[i * lda + l]) * (bt ? b[j * ldb + l] : b[l * ldb + j]);
        c[i * ldc + j] = alpha * sum + (beta == 0 ? T(0) : beta * c[i * ldc + j]);
      }
  }

  int allocations = 0;
};

static_assert(device::Device<MinimalDevice>);

}  // namespace demix::testing
