#pragma once
// Parallel regions that exceptions may leave.

#include <omp.h>

#include <exception>
#include <limits>

namespace demix {

/// body(t, n) on every thread t of the n that OpenMP gives a parallel region for which `threads` are asked;
/// inside another region n is 1. OpenMP would end the process at an exception that leaves the region; here
/// that of the lowest-numbered thread is thrown, once all threads are done.
template <class Body>
void parallel_region(int threads, const Body& body) {
  std::exception_ptr failure;
  int failed = std::numeric_limits<int>::max();
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    try {
      body(thread, omp_get_num_threads());
    } catch (...) {
#pragma omp critical(demix_parallel_region)
      if (thread < failed) {
        failed = thread;
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

/// The same for as many threads as OpenMP gives (OMP_NUM_THREADS, or all processors).
template <class Body>
void parallel_region(const Body& body) {
  parallel_region(omp_get_max_threads(), body);
}

}  // namespace demix
