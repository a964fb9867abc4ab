#pragma once
// CUDA's team: the threads of one block.

#include <cmath>
#include <cstddef>
#include <cub/block/block_reduce.cuh>
#include <cuda/functional>
#include <cuda/std/functional>

namespace demix::device {

/// What a row kernel gets besides its row, as in cpu_team.hpp, on a block of `Threads` threads. All threads
/// of the block must call the same members in the same order. Index i of every loop belongs to thread i mod
/// Threads, so that a thread finds what it wrote at i itself in a later loop without `sync`. Sums are added
/// in an order that depends on n and Threads alone: the same input gives the same bits.
template <int Threads>
struct CudaTeam {
  /// f(i) for every i in [0, n). Does not synchronise the block.
  template <class F>
  __device__ void for_each(std::size_t n, F f) {
    for (std::size_t i = threadIdx.x; i < n; i += Threads) f(i);
  }

  /// The sum of f(i) over [0, n), on every thread. Synchronises the block.
  template <class F>
  __device__ auto sum(std::size_t n, F f) {
    using T = decltype(f(n));
    T total = 0;
    for (std::size_t i = threadIdx.x; i < n; i += Threads) total += f(i);
    return reduce(total, ::cuda::std::plus<>{});
  }

  /// The maximum of f(i) over [0, n), minus infinity for n = 0, on every thread. Synchronises the block.
  /// What is NaN may be passed over.
  template <class F>
  __device__ auto max(std::size_t n, F f) {
    using T = decltype(f(n));
    T best = -T(INFINITY);
    for (std::size_t i = threadIdx.x; i < n; i += Threads) {
      const T value = f(i);
      best = best > value ? best : value;
    }
    return reduce(best, ::cuda::maximum<>{});
  }

  /// f() on one thread. Does not synchronise the block.
  template <class F>
  __device__ void once(F f) {
    if (threadIdx.x == 0) f();
  }

  /// What the block's threads wrote before is visible to all of them afterwards.
  __device__ void sync() { __syncthreads(); }

 private:
  template <class T, class Op>
  __device__ static T reduce(T value, Op op) {
    using Block = cub::BlockReduce<T, Threads, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;
    __shared__ typename Block::TempStorage partial;
    __shared__ T result;
    const T reduced = Block(partial).Reduce(value, op);
    if (threadIdx.x == 0) result = reduced;
    __syncthreads();
    const T everywhere = result;
    __syncthreads();  // the next reduction writes `partial` and `result` again
    return everywhere;
  }
};

}  // namespace demix::device
