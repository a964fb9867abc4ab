#pragma once
// The CPU device: OpenMP threads for row kernels, oneDNN for GEMM.

#include <dnnl.h>  // not dnnl.hpp: nvcc 13.0 breaks down on it
#include <omp.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "demix/core/checked_size.hpp"
#include "demix/core/error.hpp"
#include "demix/core/parallel.hpp"
#include "demix/device/concepts.hpp"
#include "demix/device/cpu_team.hpp"

namespace demix::device {

/// While it lives, this thread takes denormal numbers for zero: Adam's moments of rarely seen tokens decay
/// into them, and arithmetic on denormals is up to a hundred times slower.
class FlushDenormals {
 public:
#if defined(__SSE__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
  ~FlushDenormals() { _mm_setcsr(saved_); }

 private:
  unsigned saved_;
#else
  FlushDenormals() {}
  ~FlushDenormals() {}
#endif
 public:
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
};

/// Memory is the host's, so copies are memcpy, and every call returns when its work is done. Several objects
/// may serve several host threads at the same time, each with threads of its own.
class Cpu {
 public:
  static constexpr const char* name = "cpu";
  static constexpr std::size_t alignment = 64;

  /// Of work that is done when the call that submits it returns.
  struct Event {
    explicit Event(Cpu&) {}
  };

  /// Computes on so many threads; 0: as many as OpenMP gives (OMP_NUM_THREADS, or all processors).
  explicit Cpu(int threads = 0) : threads_(threads > 0 ? threads : omp_get_max_threads()) {}

  template <class T>
  T* allocate(std::size_t n) {
    const std::size_t bytes = checked_product("an array", n, sizeof(T));
    void* const pointer = ::operator new(bytes, std::align_val_t(alignment), std::nothrow);
    require(pointer != nullptr, "memory ran out: ", bytes, " bytes more were asked for");
    return static_cast<T*>(pointer);
  }
  template <class T>
  void deallocate(T* pointer, std::size_t) noexcept {
    ::operator delete(pointer, std::align_val_t(alignment));
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
  void deallocate_host(T* pointer, std::size_t n) noexcept {
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
  template <class T>
  void fill_zero(T* to, std::size_t n) {
    if (n) std::memset(to, 0, n * sizeof(T));
  }
  void record(Event&) {}
  bool done(const Event&) const { return true; }
  void wait(const Event&) {}
  void synchronize() {}

  int threads() const { return threads_; }
  /// The calling thread's number inside parallel_for, in [0, threads()).
  int thread_index() const { return omp_get_thread_num(); }

  /// f(i) for every i in [0, n), each thread a contiguous range. An exception ends the range of its thread;
  /// that of the lowest i is thrown here.
  template <class F>
  void parallel_for(std::size_t n, const F& f) {
    parallel_region(threads_, [&](int thread, int threads) {
      const FlushDenormals guard;
      const auto t = static_cast<std::size_t>(thread), size = n / static_cast<std::size_t>(threads),
                 longer = n % static_cast<std::size_t>(threads);  // so many ranges have one more
      const std::size_t first = t * size + std::min(t, longer), last = first + size + (t < longer);
      for (std::size_t i = first; i < last; ++i) f(i);
    });
  }

  template <class Kernel>
  void rows(std::size_t n, const Kernel& kernel) {
    parallel_for(n, [&kernel](std::size_t r) {
      CpuTeam team;
      kernel(team, r);
    });
  }

  /// oneDNN's sgemm. Inside a parallel region it runs on the calling thread alone.
  void gemm(Transpose ta, Transpose tb, std::size_t m, std::size_t n, std::size_t k, float alpha,
            const float* a, std::size_t lda, const float* b, std::size_t ldb, float beta, float* c,
            std::size_t ldc) {
    const ThreadsOfLibrary guard(threads_);
    const auto status = dnnl_sgemm(flag(ta), flag(tb), signed_size(m), signed_size(n), signed_size(k), alpha,
                                   a, signed_size(lda), b, signed_size(ldb), beta, c, signed_size(ldc));
    require(status == dnnl_success, "oneDNN sgemm failed with status ", static_cast<int>(status),
            " for m=", m, " n=", n, " k=", k, " lda=", lda, " ldb=", ldb, " ldc=", ldc);
  }

  /// A plain loop, for verification in double precision.
  void gemm(Transpose ta, Transpose tb, std::size_t m, std::size_t n, std::size_t k, double alpha,
            const double* a, std::size_t lda, const double* b, std::size_t ldb, double beta, double* c,
            std::size_t ldc) {
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        double sum = 0;
        for (std::size_t l = 0; l < k; ++l)
          sum += (ta == Transpose::yes ? a[l * lda + i] : a[i * lda + l]) *
                 (tb == Transpose::yes ? b[j * ldb + l] : b[l * ldb + j]);
        c[i * ldc + j] = alpha * sum + (beta == 0 ? 0 : beta * c[i * ldc + j]);
      }
  }

 private:
  /// While it lives, what this thread calls computes on so many threads.
  class ThreadsOfLibrary {
   public:
    explicit ThreadsOfLibrary(int threads) : saved_(omp_get_max_threads()) {
      if (threads != saved_) omp_set_num_threads(threads);
    }
    ~ThreadsOfLibrary() {
      if (omp_get_max_threads() != saved_) omp_set_num_threads(saved_);
    }
    ThreadsOfLibrary(const ThreadsOfLibrary&) = delete;
    ThreadsOfLibrary& operator=(const ThreadsOfLibrary&) = delete;

   private:
    int saved_;
  };

  static char flag(Transpose t) { return t == Transpose::yes ? 'T' : 'N'; }
  static dnnl_dim_t signed_size(std::size_t n) { return static_cast<dnnl_dim_t>(n); }

  int threads_;
};

static_assert(Device<Cpu>);

}  // namespace demix::device
