#pragma once
// Attention on the CPU, tiled over queries: the probabilities of a tile are computed again in the backward
// pass (the recomputation of Dao et al., "FlashAttention", 2022). One thread takes one (sequence, head) at a
// time. Scratch grows to threads * 64 * T elements, twice as many in the backward pass.

#include <algorithm>
#include <cmath>

#include "demix/core/math.hpp"
#include "demix/core/precision.hpp"
#include "demix/device/cpu.hpp"
#include "demix/ops/attention.hpp"

namespace demix::ops {

namespace attention_cpu {

inline constexpr std::size_t query_tile = 64;

/// What one task sees of `m`: the rows of its sequence and the columns of its head, [T, head_dim]. A task is
/// one (sequence, head); `part` chooses among several matrices of width C side by side (q, k, v = 0, 1, 2).
template <class T>
Matrix<T> head_slice(const AttentionShape& shape, Matrix<T> m, std::size_t task, std::size_t part = 0) {
  const std::size_t row = task / shape.heads * shape.sequence_length;
  const std::size_t column = part * shape.width() + task % shape.heads * shape.head_dim;
  return m.slice_rows(row, row + shape.sequence_length).slice_cols(column, column + shape.head_dim);
}

/// One sequence and head: query i of q [n, head_dim] sees the keys 0 .. past + i of k and v [past + n,
/// head_dim]. Overwrites o [n, head_dim] and, where it is not null, logsumexp [n]. scratch: 64 (past + n)
/// elements.
template <class T>
void attend(device::Cpu& device, In<T> q, In<T> k, In<T> v, std::size_t past, Matrix<T> o, T* logsumexp,
            T* scratch) {
  const T scale = T(1) / std::sqrt(static_cast<T>(q.cols));
  for (std::size_t first = 0; first < q.rows; first += query_tile) {
    const std::size_t last = std::min(first + query_tile, q.rows), keys = past + last;
    device.gemm(Transpose::no, Transpose::yes, last - first, keys, q.cols, scale, q.row(first), q.stride,
                k.data, k.stride, T(0), scratch, keys);
    for (std::size_t i = first; i < last; ++i) {
      T* p = scratch + (i - first) * keys;
      const std::size_t seen = past + i + 1;
      device::CpuTeam team;
      const T highest = team.max(seen, [=](std::size_t j) { return p[j]; });
      const T sum = team.sum(seen, [=](std::size_t j) {
        const T e = fast_exp(p[j] - highest);
        p[j] = e;
        return e;
      });
      const T inverse = T(1) / sum;
      team.for_each(seen, [=](std::size_t j) { p[j] *= inverse; });
      std::fill(p + seen, p + keys, T(0));
      if (logsumexp) logsumexp[i] = highest + std::log(sum);
    }
    device.gemm(Transpose::no, Transpose::no, last - first, v.cols, keys, T(1), scratch, keys, v.data,
                v.stride, T(0), o.row(first), o.stride);
  }
}

}  // namespace attention_cpu

template <>
struct Attention<device::Cpu> {
  template <class T>
  static void forward(device::Cpu& device, const AttentionShape& shape, In<T> qkv, Matrix<T> out,
                      Matrix<accumulate_t<T>> logsumexp, device::Array<device::Cpu, T>& scratch) {
    using namespace attention_cpu;
    require_shape("attention forward: qkv", qkv, shape.rows(), 3 * shape.width());
    require_shape("attention forward: out", out, shape.rows(), shape.width());
    require_shape("attention forward: logsumexp", logsumexp, shape.sequences * shape.heads,
                  shape.sequence_length);
    const std::size_t tile_size = checked_product("attention", query_tile, shape.sequence_length);
    scratch.reserve(checked_product("attention", static_cast<std::size_t>(device.threads()), tile_size));
    device.parallel_for(shape.sequences * shape.heads, [&](std::size_t task) {
      attend<T>(device, head_slice(shape, qkv, task, 0), head_slice(shape, qkv, task, 1),
                head_slice(shape, qkv, task, 2), 0, head_slice(shape, out, task), logsumexp.row(task),
                scratch.data() + static_cast<std::size_t>(device.thread_index()) * tile_size);
    });
  }

  template <class T>
  static void forward_cached(device::Cpu& device, const AttentionShape& shape, In<T> qkv, In<T> keys_values,
                             const std::int32_t* lengths, Matrix<T> out,
                             device::Array<device::Cpu, T>& scratch) {
    using namespace attention_cpu;
    require_shape("attention forward_cached: qkv", qkv, shape.rows(), 3 * shape.width());
    require_shape("attention forward_cached: out", out, shape.rows(), shape.width());
    const std::size_t capacity = keys_values.rows / shape.sequences,
                      tile_size = checked_product("attention", query_tile, capacity);
    require_shape("attention forward_cached: keys_values", keys_values, shape.sequences * capacity,
                  2 * shape.width());
    scratch.reserve(checked_product("attention", static_cast<std::size_t>(device.threads()), tile_size));
    const AttentionShape cached{shape.sequences, capacity, shape.heads, shape.head_dim};
    device.parallel_for(shape.sequences * shape.heads, [&](std::size_t task) {
      const auto before = static_cast<std::size_t>(lengths[task / shape.heads]);
      const std::size_t seen = before + shape.sequence_length;
      attend<T>(device, head_slice(shape, qkv, task, 0),
                head_slice(cached, keys_values, task, 0).slice_rows(0, seen),
                head_slice(cached, keys_values, task, 1).slice_rows(0, seen), before,
                head_slice(shape, out, task), nullptr,
                scratch.data() + static_cast<std::size_t>(device.thread_index()) * tile_size);
    });
  }

  template <class T>
  static void backward(device::Cpu& device, const AttentionShape& shape, In<T> dout, In<T> qkv, In<T> out,
                       In<accumulate_t<T>> logsumexp, Matrix<T> dqkv,
                       device::Array<device::Cpu, T>& scratch) {
    using namespace attention_cpu;
    require_shape("attention backward: dout", dout, shape.rows(), shape.width());
    require_shape("attention backward: qkv", qkv, shape.rows(), 3 * shape.width());
    require_shape("attention backward: out", out, shape.rows(), shape.width());
    require_shape("attention backward: dqkv", dqkv, shape.rows(), 3 * shape.width());
    require_shape("attention backward: logsumexp", logsumexp, shape.sequences * shape.heads,
                  shape.sequence_length);
    const std::size_t length = shape.sequence_length,
                      tile_size = checked_product("attention", query_tile, length);
    scratch.reserve(
        checked_product("attention", static_cast<std::size_t>(device.threads()), std::size_t{2}, tile_size));
    const std::size_t tiles = ceil_div(length, query_tile), width = shape.head_dim;
    const T scale = T(1) / std::sqrt(static_cast<T>(width));
    device.parallel_for(shape.sequences * shape.heads, [&](std::size_t task) {
      const auto q = head_slice(shape, qkv, task, 0), k = head_slice(shape, qkv, task, 1),
                 v = head_slice(shape, qkv, task, 2), o = head_slice(shape, out, task),
                 d_o = head_slice(shape, dout, task);
      const auto dq = head_slice(shape, dqkv, task, 0), dk = head_slice(shape, dqkv, task, 1),
                 dv = head_slice(shape, dqkv, task, 2);
      T* p = scratch.data() + static_cast<std::size_t>(device.thread_index()) * 2 * tile_size;
      T* dp = p + tile_size;
      // From the last tile to the first: the last one sees all keys, so it overwrites dk and dv and the
      // others add.
      for (std::size_t tile = tiles; tile-- > 0;) {
        const std::size_t first = tile * query_tile, last = std::min(first + query_tile, length);
        const std::size_t queries = last - first;
        const T beta = tile + 1 == tiles ? T(0) : T(1);
        device.gemm(Transpose::no, Transpose::yes, queries, last, width, scale, q.row(first), q.stride,
                    k.data, k.stride, T(0), p, last);
        device.gemm(Transpose::no, Transpose::yes, queries, last, width, T(1), d_o.row(first), d_o.stride,
                    v.data, v.stride, T(0), dp, last);
        for (std::size_t i = first; i < last; ++i) {
          T *pi = p + (i - first) * last, *dpi = dp + (i - first) * last;
          const T *oi = o.row(i), *doi = d_o.row(i);
          device::CpuTeam team;
          const T lse = logsumexp.row(task)[i];
          const T delta = team.sum(width, [=](std::size_t c) { return oi[c] * doi[c]; });
          team.for_each(i + 1, [=](std::size_t j) {
            const T probability = fast_exp(pi[j] - lse);
            pi[j] = probability;
            dpi[j] = probability * (dpi[j] - delta);
          });
          std::fill(pi + i + 1, pi + last, T(0));
          std::fill(dpi + i + 1, dpi + last, T(0));
        }
        device.gemm(Transpose::yes, Transpose::no, last, width, queries, T(1), p, last, d_o.row(first),
                    d_o.stride, beta, dv.data, dv.stride);
        device.gemm(Transpose::no, Transpose::no, queries, width, last, scale, dp, last, k.data, k.stride,
                    T(0), dq.row(first), dq.stride);
        device.gemm(Transpose::yes, Transpose::no, last, width, queries, scale, dp, last, q.row(first),
                    q.stride, beta, dk.data, dk.stride);
      }
    });
  }
};

}  // namespace demix::ops
