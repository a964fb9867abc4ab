#pragma once
// Causal multi-head attention on the CPU, tiled over queries: memory grows linearly with T, and the
// probabilities of a tile are computed again in the backward pass (the recomputation of Dao et al.,
// "FlashAttention", 2022). One thread takes one (sequence, head) at a time.

#include <algorithm>

#include "demix/core/math.hpp"
#include "demix/core/matrix.hpp"
#include "demix/device/array.hpp"
#include "demix/device/cpu.hpp"
#include "demix/ops/linear.hpp"

namespace demix::ops {

/// Shapes of an attention call: qkv [B T, 3 C] holds q, k, v side by side, each C = heads * head_dim wide.
struct AttentionShape {
  std::size_t sequences, sequence_length, heads, head_dim;

  std::size_t rows() const { return sequences * sequence_length; }
  std::size_t width() const { return heads * head_dim; }
};

inline constexpr std::size_t attention_query_tile = 64;

/// What one task sees of `m`: the rows of its sequence and the columns of its head, [T, head_dim]. A task is
/// one (sequence, head); `part` chooses among several matrices of width C side by side (q, k, v = 0, 1, 2).
template <class T>
Matrix<T> head_slice(const AttentionShape& shape, Matrix<T> m, std::size_t task, std::size_t part = 0) {
  const std::size_t row = task / shape.heads * shape.sequence_length;
  const std::size_t column = part * shape.width() + task % shape.heads * shape.head_dim;
  return m.slice_rows(row, row + shape.sequence_length).slice_cols(column, column + shape.head_dim);
}

/// out [B T, C] = softmax(scale q k^T, causal) v, scale = 1 / sqrt(head_dim); logsumexp [B H, T] is kept for
/// the backward pass. scratch grows to threads * 64 * T elements. Overwrites out and logsumexp.
template <class T>
void causal_attention(device::Cpu& device, const AttentionShape& shape, In<T> qkv, Matrix<T> out,
                      Matrix<T> logsumexp, device::Array<device::Cpu, T>& scratch) {
  require_shape("causal_attention: qkv", qkv, shape.rows(), 3 * shape.width());
  require_shape("causal_attention: out", out, shape.rows(), shape.width());
  require_shape("causal_attention: logsumexp", logsumexp, shape.sequences * shape.heads,
                shape.sequence_length);
  const std::size_t length = shape.sequence_length, tile_size = attention_query_tile * length;
  scratch.reserve(static_cast<std::size_t>(device.threads()) * tile_size);
  const T scale = T(1) / std::sqrt(static_cast<T>(shape.head_dim));
  device.parallel_for(shape.sequences * shape.heads, [&](std::size_t task) {
    const auto q = head_slice(shape, qkv, task, 0), k = head_slice(shape, qkv, task, 1),
               v = head_slice(shape, qkv, task, 2);
    const auto o = head_slice(shape, out, task);
    T* p = scratch.data() + static_cast<std::size_t>(device.thread_index()) * tile_size;
    for (std::size_t first = 0; first < length; first += attention_query_tile) {
      const std::size_t last = std::min(first + attention_query_tile, length), queries = last - first;
      device.gemm(Transpose::no, Transpose::yes, queries, last, shape.head_dim, scale, q.row(first), q.stride,
                  k.data, k.stride, T(0), p, last);
      for (std::size_t i = first; i < last; ++i) {
        T* pi = p + (i - first) * last;
        device::CpuTeam team;
        const T highest = team.max(i + 1, [=](std::size_t j) { return pi[j]; });
        const T sum = team.sum(i + 1, [=](std::size_t j) {
          const T e = fast_exp(pi[j] - highest);
          pi[j] = e;
          return e;
        });
        const T inverse = T(1) / sum;
        team.for_each(i + 1, [=](std::size_t j) { pi[j] *= inverse; });
        std::fill(pi + i + 1, pi + last, T(0));
        logsumexp.row(task)[i] = highest + std::log(sum);
      }
      device.gemm(Transpose::no, Transpose::no, queries, shape.head_dim, last, T(1), p, last, v.data,
                  v.stride, T(0), o.row(first), o.stride);
    }
  });
}

/// dqkv [B T, 3 C], overwritten, from dout [B T, C] and the forward pass's qkv, out and logsumexp. scratch
/// grows to threads * 128 * T elements.
template <class T>
void causal_attention_backward(device::Cpu& device, const AttentionShape& shape, In<T> dout, In<T> qkv,
                               In<T> out, In<T> logsumexp, Matrix<T> dqkv,
                               device::Array<device::Cpu, T>& scratch) {
  require_shape("causal_attention_backward: dout", dout, shape.rows(), shape.width());
  require_shape("causal_attention_backward: qkv", qkv, shape.rows(), 3 * shape.width());
  require_shape("causal_attention_backward: out", out, shape.rows(), shape.width());
  require_shape("causal_attention_backward: dqkv", dqkv, shape.rows(), 3 * shape.width());
  require_shape("causal_attention_backward: logsumexp", logsumexp, shape.sequences * shape.heads,
                shape.sequence_length);
  const std::size_t length = shape.sequence_length, tile_size = attention_query_tile * length;
  scratch.reserve(static_cast<std::size_t>(device.threads()) * 2 * tile_size);
  const std::size_t tiles = ceil_div(length, attention_query_tile), width = shape.head_dim;
  const T scale = T(1) / std::sqrt(static_cast<T>(width));
  device.parallel_for(shape.sequences * shape.heads, [&](std::size_t task) {
    const auto q = head_slice(shape, qkv, task, 0), k = head_slice(shape, qkv, task, 1),
               v = head_slice(shape, qkv, task, 2), o = head_slice(shape, out, task),
               d_o = head_slice(shape, dout, task);
    const auto dq = head_slice(shape, dqkv, task, 0), dk = head_slice(shape, dqkv, task, 1),
               dv = head_slice(shape, dqkv, task, 2);
    T* p = scratch.data() + static_cast<std::size_t>(device.thread_index()) * 2 * tile_size;
    T* dp = p + tile_size;
    // From the last tile to the first: the last one sees all keys, so it overwrites dk and dv and the others
    // add.
    for (std::size_t tile = tiles; tile-- > 0;) {
      const std::size_t first = tile * attention_query_tile,
                        last = std::min(first + attention_query_tile, length);
      const std::size_t queries = last - first;
      const T beta = tile + 1 == tiles ? T(0) : T(1);
      device.gemm(Transpose::no, Transpose::yes, queries, last, width, scale, q.row(first), q.stride, k.data,
                  k.stride, T(0), p, last);
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
      device.gemm(Transpose::no, Transpose::no, queries, width, last, scale, dp, last, k.data, k.stride, T(0),
                  dq.row(first), dq.stride);
      device.gemm(Transpose::yes, Transpose::no, last, width, queries, scale, dp, last, q.row(first),
                  q.stride, beta, dk.data, dk.stride);
    }
  });
}

}  // namespace demix::ops
