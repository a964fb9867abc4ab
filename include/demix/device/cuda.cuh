#pragma once
// The CUDA device: a block of threads per row of a row kernel, cuBLAS for GEMM, one stream for everything.

#include <algorithm>
#include <limits>
#include <memory>
#include <type_traits>

#include "demix/core/checked_size.hpp"
#include "demix/device/concepts.hpp"
#include "demix/device/cuda_error.cuh"
#include "demix/device/cuda_team.cuh"

namespace demix::device {

/// How row kernels are launched.
struct RowLaunch {
  static constexpr int threads = 256;              // of a block, which takes one row at a time
  static constexpr std::size_t grid_limit = 8192;  // blocks of a launch: several waves on every GPU there is
};

/// Block b runs rows b, b + gridDim.x, ...; thread t of it handles columns t, t + RowLaunch::threads, ...
template <class Kernel>
__global__ void __launch_bounds__(RowLaunch::threads) row_kernel(const Kernel kernel, std::size_t n) {
  CudaTeam<RowLaunch::threads> team;
  for (std::size_t r = blockIdx.x; r < n; r += gridDim.x) kernel(team, r);
}

/// One GPU as this process uses it. Everything runs in one stream, in the order of the calls. `rows`, `gemm`,
/// `copy`, `fill_zero`, `upload`, `download` and `record` submit work and return; `copy_to_device`,
/// `copy_to_host`, `deallocate`, `wait` and `synchronize` return when all that was submitted before them, or
/// the event, is done. What a kernel does wrong is thrown by the next of these. An object serves one host
/// thread at a time, whose current CUDA device must be this one, as the constructor leaves it. Neither
/// copyable nor movable: arrays keep its address.
class Cuda {
 public:
  static constexpr const char* name = "cuda";

  /// A moment in the stream.
  class Event {
   public:
    explicit Event(Cuda&) {
      cudaEvent_t event = nullptr;
      DEMIX_CUDA_TRY(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
      event_.reset(event);
    }

   private:
    friend class Cuda;
    struct Destroy {
      void operator()(cudaEvent_t event) const noexcept { DEMIX_CUDA_LOG(cudaEventDestroy(event)); }
    };
    std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, Destroy> event_;
  };

  /// The number of GPUs that CUDA can use here; 0 also where there is no driver.
  static int count() {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) == cudaSuccess) return devices;
    cudaGetLastError();
    return 0;
  }

  /// Makes GPU `ordinal` the calling thread's current device. Throws Error when there is no such GPU.
  explicit Cuda(int ordinal = 0) {
    const int devices = count();
    require(ordinal >= 0 && ordinal < devices, "CUDA device ", ordinal, ": CUDA finds ", devices,
            " devices here, numbered from 0; nvidia-smi and CUDA_VISIBLE_DEVICES say which");
    DEMIX_CUDA_TRY(cudaSetDevice(ordinal));
    cudaStream_t stream = nullptr;
    DEMIX_CUDA_TRY(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    stream_.reset(stream);
    cublasHandle_t blas = nullptr;
    DEMIX_CUBLAS_TRY(cublasCreate(&blas));
    blas_.reset(blas);
    DEMIX_CUBLAS_TRY(cublasSetStream(blas, stream));
    DEMIX_CUBLAS_TRY(cublasSetMathMode(blas, CUBLAS_DEFAULT_MATH));  // fp32 stays fp32: no TF32
  }
  Cuda(const Cuda&) = delete;
  Cuda& operator=(const Cuda&) = delete;

  /// The stream of all work: what other libraries (NCCL, Thrust) must submit to.
  cudaStream_t stream() const { return stream_.get(); }

  /// 256-byte aligned, uninitialised memory; nullptr for n = 0. Plain cudaMalloc, not a stream-ordered pool:
  /// arrays are few and live long (they only grow), and NCCL and CUDA-aware MPI share such memory between
  /// processes. Throws Error with the bytes wanted and free when there is no room.
  template <class T>
  T* allocate(std::size_t n) {
    void* pointer = nullptr;
    require(n <= std::numeric_limits<std::size_t>::max() / sizeof(T), "CUDA: ", n, " elements of ", sizeof(T),
            " bytes are more than any memory");
    const cudaError_t status = cudaMalloc(&pointer, n * sizeof(T));
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      std::size_t free = 0, total = 0;
      DEMIX_CUDA_TRY(cudaMemGetInfo(&free, &total));
      throw Error(concat("the GPU has no room for ", n * sizeof(T), " bytes: ", free, " of ", total,
                         " are free; a smaller batch or model needs less"));
    }
    DEMIX_CUDA_TRY(status);
    return static_cast<T*>(pointer);
  }
  /// Waits for the work that may still use the memory. A failure is a line on stderr.
  template <class T>
  void deallocate(T* pointer, std::size_t) noexcept {
    DEMIX_CUDA_LOG(cudaStreamSynchronize(stream()));
    DEMIX_CUDA_LOG(cudaFree(pointer));
  }

  /// Page-locked memory of the host; nullptr for n = 0.
  template <class T>
  T* allocate_host(std::size_t n) {
    void* pointer = nullptr;
    if (n > 0) DEMIX_CUDA_TRY(cudaMallocHost(&pointer, checked_product("page-locked memory", n, sizeof(T))));
    return static_cast<T*>(pointer);
  }
  /// Waits for the work that may still use the memory. A failure is a line on stderr.
  template <class T>
  void deallocate_host(T* pointer, std::size_t) noexcept {
    DEMIX_CUDA_LOG(cudaStreamSynchronize(stream()));
    DEMIX_CUDA_LOG(cudaFreeHost(pointer));
  }

  template <class T>
  void upload(T* to, const T* from, std::size_t n) {
    copy_bytes(to, from, n * sizeof(T), cudaMemcpyHostToDevice);
  }
  template <class T>
  void download(T* to, const T* from, std::size_t n) {
    copy_bytes(to, from, n * sizeof(T), cudaMemcpyDeviceToHost);
  }
  void record(Event& event) { DEMIX_CUDA_TRY(cudaEventRecord(event.event_.get(), stream())); }
  /// Throws Error for what went wrong before it.
  bool done(const Event& event) const {
    const cudaError_t status = cudaEventQuery(event.event_.get());
    if (status == cudaErrorNotReady) {
      cudaGetLastError();
      return false;
    }
    DEMIX_CUDA_TRY(status);
    return true;
  }
  void wait(const Event& event) { DEMIX_CUDA_TRY(cudaEventSynchronize(event.event_.get())); }

  template <class T>
  void copy(T* to, const T* from, std::size_t n) {
    copy_bytes(to, from, n * sizeof(T), cudaMemcpyDeviceToDevice);
  }
  template <class T>
  void copy_to_device(T* to, const T* from, std::size_t n) {
    upload(to, from, n);
    synchronize();
  }
  template <class T>
  void copy_to_host(T* to, const T* from, std::size_t n) {
    download(to, from, n);
    synchronize();
  }
  template <class T>
  void fill_zero(T* to, std::size_t n) {
    if (n) DEMIX_CUDA_TRY(cudaMemsetAsync(to, 0, n * sizeof(T), stream()));
  }

  /// Returns when everything submitted is done. Throws Error for what went wrong in it.
  void synchronize() { DEMIX_CUDA_TRY(cudaStreamSynchronize(stream())); }

  /// The kernel's object is copied to the GPU: it holds pointers to device memory and plain values.
  template <class Kernel>
  void rows(std::size_t n, const Kernel& kernel) {
    static_assert(std::is_trivially_copyable_v<Kernel>, "a row kernel must be trivially copyable");
    if (n == 0) return;
    const auto blocks = static_cast<unsigned>(std::min(n, RowLaunch::grid_limit));
    row_kernel<<<blocks, RowLaunch::threads, 0, stream()>>>(kernel, n);
    DEMIX_CUDA_TRY(cudaGetLastError());
  }

  /// cuBLAS in fp32. Throws Error for a dimension beyond 2^31 - 1.
  void gemm(Transpose ta, Transpose tb, std::size_t m, std::size_t n, std::size_t k, float alpha,
            const float* a, std::size_t lda, const float* b, std::size_t ldb, float beta, float* c,
            std::size_t ldc) {
    column_major_gemm(cublasSgemm, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  }
  /// The same in fp64.
  void gemm(Transpose ta, Transpose tb, std::size_t m, std::size_t n, std::size_t k, double alpha,
            const double* a, std::size_t lda, const double* b, std::size_t ldb, double beta, double* c,
            std::size_t ldc) {
    column_major_gemm(cublasDgemm, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  }

 private:
  struct DestroyStream {
    void operator()(cudaStream_t stream) const noexcept { DEMIX_CUDA_LOG(cudaStreamDestroy(stream)); }
  };
  struct DestroyBlas {
    void operator()(cublasHandle_t blas) const noexcept { DEMIX_CUBLAS_LOG(cublasDestroy(blas)); }
  };

  void copy_bytes(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    if (bytes) DEMIX_CUDA_TRY(cudaMemcpyAsync(to, from, bytes, kind, stream()));
  }

  static cublasOperation_t operation(Transpose t) { return t == Transpose::yes ? CUBLAS_OP_T : CUBLAS_OP_N; }
  static int blas_size(const char* what, std::size_t n) {
    require(n <= static_cast<std::size_t>(std::numeric_limits<int>::max()), "gemm: ", what, " = ", n,
            ", cuBLAS takes at most ", std::numeric_limits<int>::max());
    return static_cast<int>(n);
  }
  /// A leading dimension, which cuBLAS wants positive even where a matrix has no elements.
  static int leading_size(const char* what, std::size_t n) {
    return blas_size(what, std::max<std::size_t>(n, 1));
  }

  /// cuBLAS reads matrices by columns, so it sees the transposes of ours: c^T = op(b)^T op(a)^T.
  template <class Gemm, class T>
  void column_major_gemm(Gemm blas_gemm, Transpose ta, Transpose tb, std::size_t m, std::size_t n,
                         std::size_t k, T alpha, const T* a, std::size_t lda, const T* b, std::size_t ldb,
                         T beta, T* c, std::size_t ldc) {
    const cublasStatus_t status = blas_gemm(
        blas_.get(), operation(tb), operation(ta), blas_size("n", n), blas_size("m", m), blas_size("k", k),
        &alpha, b, leading_size("ldb", ldb), a, leading_size("lda", lda), &beta, c, leading_size("ldc", ldc));
    require(succeeded(status), "cuBLAS gemm failed: ", cublasGetStatusName(status), " (",
            cublasGetStatusString(status), ") for m=", m, " n=", n, " k=", k, " lda=", lda, " ldb=", ldb,
            " ldc=", ldc);
  }

  std::unique_ptr<std::remove_pointer_t<cudaStream_t>, DestroyStream> stream_;
  std::unique_ptr<std::remove_pointer_t<cublasHandle_t>, DestroyBlas> blas_;
};

static_assert(Device<Cuda>);

}  // namespace demix::device
