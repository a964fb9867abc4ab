#pragma once
// Causal multi-head attention on the CPU, tiled over queries: memory grows linearly with T, and the
// probabilities of a tile are computed again in the backward pass (the recomputation of Dao et al.,
// "FlashAttention", 2022). One thread takes one (sequence, head) at a time.

#include <algorithm>
#include <cstdint>

#include "demix/core/host_device.hpp"
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

/// One sequence and head: query i of q [n, head_dim] sees the keys 0 .. past + i of k and v [past + n,
/// head_dim]. Overwrites o [n, head_dim] and, where it is not null, logsumexp [n]. scratch: 64 (past + n)
/// elements.
template <class T>
void attend(device::Cpu& device, In<T> q, In<T> k, In<T> v, std::size_t past, Matrix<T> o, T* logsumexp,
            T* scratch) {
  const T scale = T(1) / std::sqrt(static_cast<T>(q.cols));
  for (std::size_t first = 0; first < q.rows; first += attention_query_tile) {
    const std::size_t last = std::min(first + attention_query_tile, q.rows), keys = past + last;
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

/// out [B T, C] = softmax(scale q k^T, causal) v, scale = 1 / sqrt(head_dim); logsumexp [B H, T] is kept for
/// the backward pass. scratch grows to threads * 64 * T elements. Overwrites out and logsumexp.
template <class T>
void causal_attention(device::Cpu& device, const AttentionShape& shape, In<T> qkv, Matrix<T> out,
                      Matrix<T> logsumexp, device::Array<device::Cpu, T>& scratch) {
  require_shape("causal_attention: qkv", qkv, shape.rows(), 3 * shape.width());
  require_shape("causal_attention: out", out, shape.rows(), shape.width());
  require_shape("causal_attention: logsumexp", logsumexp, shape.sequences * shape.heads,
                shape.sequence_length);
  const std::size_t tile_size = checked_product("attention", attention_query_tile, shape.sequence_length);
  scratch.reserve(checked_product("attention", static_cast<std::size_t>(device.threads()), tile_size));
  device.parallel_for(shape.sequences * shape.heads, [&](std::size_t task) {
    attend<T>(device, head_slice(shape, qkv, task, 0), head_slice(shape, qkv, task, 1),
              head_slice(shape, qkv, task, 2), 0, head_slice(shape, out, task), logsumexp.row(task),
              scratch.data() + static_cast<std::size_t>(device.thread_index()) * tile_size);
  });
}

/// The same for T further tokens of each sequence. keys [B capacity, 2 C] holds k and v side by side;
/// sequence b owns rows b capacity onwards, of which the first past[b] are of tokens before these and the
/// next T of these. scratch grows to threads * 64 * capacity elements. Overwrites out [B T, C].
template <class T>
void causal_attention_on(device::Cpu& device, const AttentionShape& shape, In<T> qkv, In<T> keys,
                         const std::int32_t* past, Matrix<T> out, device::Array<device::Cpu, T>& scratch) {
  require_shape("causal_attention_on: qkv", qkv, shape.rows(), 3 * shape.width());
  require_shape("causal_attention_on: out", out, shape.rows(), shape.width());
  const std::size_t capacity = keys.rows / shape.sequences,
                    tile_size = checked_product("attention", attention_query_tile, capacity);
  require_shape("causal_attention_on: keys", keys, shape.sequences * capacity, 2 * shape.width());
  scratch.reserve(checked_product("attention", static_cast<std::size_t>(device.threads()), tile_size));
  const AttentionShape cached{shape.sequences, capacity, shape.heads, shape.head_dim};
  device.parallel_for(shape.sequences * shape.heads, [&](std::size_t task) {
    const auto before = static_cast<std::size_t>(past[task / shape.heads]);
    const std::size_t seen = before + shape.sequence_length;
    attend<T>(device, head_slice(shape, qkv, task, 0), head_slice(cached, keys, task, 0).slice_rows(0, seen),
              head_slice(cached, keys, task, 1).slice_rows(0, seen), before, head_slice(shape, out, task),
              nullptr, scratch.data() + static_cast<std::size_t>(device.thread_index()) * tile_size);
  });
}

/// Row r of qkv [B T, 3 C], the t-th of sequence b: its k and v go to row b capacity + past[b] + t of keys.
template <class T>
struct AppendKeys {
  const T* qkv;
  const std::int32_t* past;
  T* keys;
  std::size_t sequence_length, capacity, width;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const std::size_t b = r / sequence_length,
                      row = b * capacity + static_cast<std::size_t>(past[b]) + r % sequence_length;
    const T* from = qkv + r * 3 * width + width;
    T* to = keys + row * 2 * width;
    team.for_each(2 * width, [=](std::size_t c) { to[c] = from[c]; });
  }
};

/// Writes the k and v of T further tokens of each sequence into keys, as causal_attention_on reads them.
template <device::Device D, class T>
void append_keys(D& device, const AttentionShape& shape, In<T> qkv, const std::int32_t* past,
                 Matrix<T> keys) {
  require_shape("append_keys: qkv", qkv, shape.rows(), 3 * shape.width());
  device.rows(shape.rows(), AppendKeys<T>{qkv.data, past, keys.data, shape.sequence_length,
                                          keys.rows / shape.sequences, shape.width()});
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
  const std::size_t length = shape.sequence_length,
                    tile_size = checked_product("attention", attention_query_tile, length);
  scratch.reserve(
      checked_product("attention", static_cast<std::size_t>(device.threads()), std::size_t{2}, tile_size));
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
