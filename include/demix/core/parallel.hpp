#pragma once
// Parallel regions that exceptions may leave.

#include <omp.h>

#include <exception>
#include <limits>
#include <mutex>

namespace demix {

/// body(t, n) on every thread t of the n that OpenMP gives a parallel region. OpenMP would end the process at
/// an exception that leaves the region; here that of the lowest-numbered thread is thrown, once all threads
/// are done.
template <class Body>
void parallel_region(const Body& body) {
  std::mutex mutex;
  std::exception_ptr failure;
  int failed = std::numeric_limits<int>::max();
#pragma omp parallel
  {
    const int thread = omp_get_thread_num();
    try {
      body(thread, omp_get_num_threads());
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (thread < failed) {
        failed = thread;
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace demix
