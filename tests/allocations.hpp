#pragma once
// Counting the heap. allocations.cpp, which a test's program must be linked with, replaces operator new.

#include <cstddef>

namespace demix::testing {

/// How often this thread has called operator new.
std::size_t allocations();

/// How often f() calls operator new in this thread.
template <class F>
std::size_t allocations_of(F f) {
  const std::size_t before = allocations();
  f();
  return allocations() - before;
}

}  // namespace demix::testing
