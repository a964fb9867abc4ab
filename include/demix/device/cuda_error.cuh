#pragma once
// CUDA and cuBLAS report failures as return values: these turn them into demix::Error, or into a line on
// stderr where nothing may be thrown.

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <iostream>

#include "demix/core/error.hpp"

namespace demix::device {

inline bool succeeded(cudaError_t status) { return status == cudaSuccess; }
inline bool succeeded(cublasStatus_t status) { return status == CUBLAS_STATUS_SUCCESS; }

/// "cudaMalloc(&p, n) failed: cudaErrorMemoryAllocation (out of memory)", with the place of the call.
inline std::string describe_failure(cudaError_t status, const char* call, const char* file, int line) {
  return concat(call, " failed: ", cudaGetErrorName(status), " (", cudaGetErrorString(status), "), at ", file,
                ":", line);
}
inline std::string describe_failure(cublasStatus_t status, const char* call, const char* file, int line) {
  return concat(call, " failed: ", cublasGetStatusName(status), " (", cublasGetStatusString(status), "), at ",
                file, ":", line);
}

/// Throws Error unless the call succeeded. CUDA's record of the last error is cleared, so that whoever
/// handles the Error does not meet it again at the next launch.
template <class Status>
void require_success(Status status, const char* call, const char* file, int line) {
  if (succeeded(status)) [[likely]]
    return;
  cudaGetLastError();
  throw Error(describe_failure(status, call, file, line));
}

/// Writes the failure, if it is one, to stderr: for destructors.
template <class Status>
void log_failure(Status status, const char* call, const char* file, int line) noexcept {
  if (succeeded(status)) [[likely]]
    return;
  cudaGetLastError();
  try {
    std::cerr << "demix: " << describe_failure(status, call, file, line) << std::endl;
  } catch (...) {  // a message that cannot be written is no reason to end the program
  }
}

}  // namespace demix::device

/// Evaluates a CUDA runtime call and throws demix::Error, with the call, when it fails. After a launch the
/// call is cudaGetLastError().
#define DEMIX_CUDA_TRY(call) ::demix::device::require_success((call), #call, __FILE__, __LINE__)
/// The same for a cuBLAS call.
#define DEMIX_CUBLAS_TRY(call) ::demix::device::require_success((call), #call, __FILE__, __LINE__)
/// The forms for destructors: a failure is a line on stderr.
#define DEMIX_CUDA_LOG(call) ::demix::device::log_failure((call), #call, __FILE__, __LINE__)
#define DEMIX_CUBLAS_LOG(call) ::demix::device::log_failure((call), #call, __FILE__, __LINE__)
