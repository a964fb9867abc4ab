#pragma once
// Attention on CUDA: tiles of queries and keys in shared memory, the probabilities of a tile computed again
// in the backward pass (Dao et al., "FlashAttention", 2022; Dao, "FlashAttention-2", 2023). No atomics: every
// number has one writer, so results repeat bit for bit.
//
// A block of 16 x 16 threads works on one tile of one (sequence, head). Thread (ty, tx) owns rows ty M .. ty
// M + M - 1 of the tile, M = tile / 16, and of a [tile, tile] product columns tx M .., of a [tile, head] one
// columns tx N .., N = head / 16. Tiles that are read along their inner dimension lie transposed, so that a
// thread reads its rows, or columns, as one vector. Heads are padded with zeros to the next size that is
// compiled.

#include <cmath>
#include <cstdint>

#include "demix/core/math.hpp"
#include "demix/core/precision.hpp"
#include "demix/device/cuda.cuh"
#include "demix/ops/attention.hpp"

namespace demix::ops {

namespace attention_cuda {

/// How the kernels are cut: a tile of keys and queries with its transposes must fit into shared memory (163
/// KiB on sm_80) also for the widest head.
template <class A>
struct Tuning {
  static constexpr int side = 16;  // threads of a block: side x side
  static constexpr int threads = side * side;
  static constexpr int tile = sizeof(A) == 4 ? 64 : 32;
  static constexpr int rows = tile / side;  // M
  static constexpr int pitch = tile + 4;    // of transposed tiles: keeps vectors aligned
  static constexpr std::size_t widest_head = 128;
};

/// Where the numbers of a call stand. Row r of sequence b is row b * rows_of_sequence + r; heads lie side by
/// side.
template <class T>
struct View {
  T* data;
  std::size_t stride, rows_of_sequence;

  __device__ T* row(std::size_t b, std::size_t r, std::size_t column) const {
    return data + (b * rows_of_sequence + r) * stride + column;
  }
};

template <class T>
struct Arguments {
  View<const T> q, k, v, out, dout;
  View<T> o, dq, dk, dv;
  accumulate_t<T>* logsumexp;    // [B H, T]
  const accumulate_t<T>* delta;  // [B H, T]: the sum of dout out over a head
  const std::int32_t* lengths;   // of what is cached of each sequence; null: nothing
  int queries, heads, head_dim;
  accumulate_t<T> scale;
};

// --- device helpers ---

template <int n>
__device__ void read_vector(float (&out)[n], const float* from) {
  if constexpr (n % 4 == 0) {
    for (int i = 0; i < n; i += 4) {
      const float4 four = *reinterpret_cast<const float4*>(from + i);
      out[i] = four.x, out[i + 1] = four.y, out[i + 2] = four.z, out[i + 3] = four.w;
    }
  } else {
    for (int i = 0; i < n; ++i) out[i] = from[i];
  }
}
template <int n>
__device__ void read_vector(double (&out)[n], const double* from) {
  for (int i = 0; i < n; ++i) out[i] = from[i];
}

/// A tile of `rows` rows from `first` on into shared memory, [tile, HD] or transposed [HD, pitch]; zero
/// outside.
template <bool transposed, int HD, class T>
__device__ void load_tile(accumulate_t<T>* tile, const View<const T>& from, std::size_t b, int first,
                          int limit, std::size_t column, int head_dim) {
  using Tune = Tuning<accumulate_t<T>>;
  for (int i = static_cast<int>(threadIdx.x); i < Tune::tile * HD; i += Tune::threads) {
    const int r = i / HD, c = i % HD;
    const bool inside = first + r < limit && c < head_dim;
    const accumulate_t<T> value =
        inside ? accumulate_t<T>(from.row(b, static_cast<std::size_t>(first + r), column)[c])
               : accumulate_t<T>(0);
    tile[transposed ? c * Tune::pitch + r : r * HD + c] = value;
  }
}

/// out[i][j] += the sum over k of a[k][ty M + i] b[k][tx n + j], both with their inner dimension k outermost.
template <int inner, int n, class A>
__device__ void multiply(A (&out)[Tuning<A>::rows][n], const A* a, int pitch_a, const A* b, int pitch_b,
                         int ty, int tx) {
  constexpr int m = Tuning<A>::rows;
  for (int k = 0; k < inner; ++k) {
    A row[m], column[n];
    read_vector<m>(row, a + k * pitch_a + ty * m);
    read_vector<n>(column, b + k * pitch_b + tx * n);
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j) out[i][j] += row[i] * column[j];
  }
}

/// Over the 16 threads that share a row.
template <class A, class Op>
__device__ A reduce_row(A value, Op op) {
  for (int lane = Tuning<A>::side / 2; lane > 0; lane /= 2)
    value = op(value, __shfl_xor_sync(0xffffffffu, value, lane));
  return value;
}

__device__ inline float exponential(float x) { return __expf(x); }
__device__ inline double exponential(double x) { return exp(x); }

/// Which tile of which (sequence, head) a block has, and its thread.
struct Place {
  int tx, ty, tile;
  std::size_t b, h, task, column;

  __device__ Place(int tiles, int heads, int head_dim)
      : tx(static_cast<int>(threadIdx.x) % 16),
        ty(static_cast<int>(threadIdx.x) / 16),
        tile(tiles - 1 - static_cast<int>(blockIdx.x % static_cast<unsigned>(tiles))),  // the longest first
        b(blockIdx.x / static_cast<unsigned>(tiles) / static_cast<unsigned>(heads)),
        h(blockIdx.x / static_cast<unsigned>(tiles) % static_cast<unsigned>(heads)),
        task(b * static_cast<unsigned>(heads) + h),
        column(h * static_cast<unsigned>(head_dim)) {}
};

/// Bytes of shared memory for so many [tile, HD] tiles, each possibly transposed, and [tile, tile] ones.
template <class A, int HD>
constexpr std::size_t shared_bytes(int wide, int square) {
  using Tune = Tuning<A>;
  return sizeof(A) * (static_cast<std::size_t>(wide) * HD * Tune::pitch +
                      static_cast<std::size_t>(square) * Tune::tile * Tune::pitch);
}

// --- kernels ---

/// o = softmax(scale q k^T, causal) v for a tile of queries, over the tiles of keys that they see, with the
/// running maximum and sum of Milakov and Gimelshein (2018).
template <class T, int HD>
__global__ void __launch_bounds__(256) forward_kernel(const Arguments<T> a, int tiles) {
  using A = accumulate_t<T>;
  using Tune = Tuning<A>;
  constexpr int tile = Tune::tile, m = Tune::rows, n = HD / Tune::side, pitch = Tune::pitch;
  extern __shared__ __align__(16) unsigned char memory[];
  A* q = reinterpret_cast<A*>(memory);  // [HD, pitch]
  A* kv = q + HD * pitch;               // k as [HD, pitch], then v as [tile, HD]
  A* p = kv + HD * pitch;               // [tile, pitch]: probabilities, by key
  const Place at(tiles, a.heads, a.head_dim);
  const int past = a.lengths ? a.lengths[at.b] : 0, first = at.tile * tile, keys = past + a.queries;
  load_tile<true, HD, T>(q, a.q, at.b, first, a.queries, at.column, a.head_dim);

  A out[m][n] = {}, highest[m], sum[m];
  for (int i = 0; i < m; ++i) highest[i] = -A(INFINITY), sum[i] = 0;
  const int last_key = min(keys, past + first + tile);
  for (int key = 0; key < last_key; key += tile) {
    __syncthreads();
    load_tile<true, HD, T>(kv, a.k, at.b, key, keys, at.column, a.head_dim);
    __syncthreads();
    A s[m][m] = {};
    multiply<HD, m>(s, q, pitch, kv, pitch, at.ty, at.tx);
    for (int i = 0; i < m; ++i) {
      const int seen = past + first + at.ty * m + i;
      A best = highest[i];
      for (int j = 0; j < m; ++j) {
        s[i][j] = key + at.tx * m + j <= seen ? s[i][j] * a.scale : -A(INFINITY);
        best = max(best, s[i][j]);
      }
      best = reduce_row(best, [](A x, A y) { return max(x, y); });
      const A shrink = exponential(highest[i] - best);  // key 0 is always seen, so best is finite
      A row_sum = 0;
      for (int j = 0; j < m; ++j) {
        s[i][j] = exponential(s[i][j] - best);
        row_sum += s[i][j];
        p[(at.tx * m + j) * pitch + at.ty * m + i] = s[i][j];
      }
      sum[i] = sum[i] * shrink + reduce_row(row_sum, [](A x, A y) { return x + y; });
      highest[i] = best;
      for (int j = 0; j < n; ++j) out[i][j] *= shrink;
    }
    __syncthreads();
    load_tile<false, HD, T>(kv, a.v, at.b, key, keys, at.column, a.head_dim);
    __syncthreads();
    multiply<tile, n>(out, p, pitch, kv, HD, at.ty, at.tx);
  }
  for (int i = 0; i < m; ++i) {
    const int r = first + at.ty * m + i;
    if (r >= a.queries) continue;
    T* o = a.o.row(at.b, static_cast<std::size_t>(r), at.column);
    for (int j = 0; j < n; ++j)
      if (at.tx * n + j < a.head_dim) o[at.tx * n + j] = T(out[i][j] / sum[i]);
    if (a.logsumexp && at.tx == 0)
      a.logsumexp[at.task * static_cast<std::size_t>(a.queries) + static_cast<std::size_t>(r)] =
          highest[i] + log(sum[i]);
  }
}

/// p = exp(scale q k^T - logsumexp) and ds = scale p (dout v^T - delta) of one tile of queries and one of
/// keys, for the thread's rows (of queries) and columns (of keys); zero for keys that a query does not see.
template <int HD, class T, class A>
__device__ void probabilities(A (&p)[Tuning<A>::rows][Tuning<A>::rows],
                              A (&ds)[Tuning<A>::rows][Tuning<A>::rows], const Arguments<T>& a,
                              const Place& at, const A* q, const A* k, const A* dout, const A* v,
                              int first_query, int first_key) {
  using Tune = Tuning<A>;
  constexpr int m = Tune::rows, pitch = Tune::pitch;
  A s[m][m] = {}, dp[m][m] = {};
  multiply<HD, m>(s, q, pitch, k, pitch, at.ty, at.tx);
  multiply<HD, m>(dp, dout, pitch, v, pitch, at.ty, at.tx);
  for (int i = 0; i < m; ++i) {
    const int query = first_query + at.ty * m + i;
    const bool inside = query < a.queries;
    const std::size_t row = at.task * static_cast<std::size_t>(a.queries) + static_cast<std::size_t>(query);
    const A lse = inside ? a.logsumexp[row] : A(0), delta = inside ? a.delta[row] : A(0);
    for (int j = 0; j < m; ++j) {
      const bool seen = inside && first_key + at.tx * m + j <= query;
      p[i][j] = seen ? exponential(s[i][j] * a.scale - lse) : A(0);
      ds[i][j] = a.scale * p[i][j] * (dp[i][j] - delta);
    }
  }
}

/// dk and dv of a tile of keys, over the tiles of queries that see them.
template <class T, int HD>
__global__ void __launch_bounds__(256) backward_keys_kernel(const Arguments<T> a, int tiles) {
  using A = accumulate_t<T>;
  using Tune = Tuning<A>;
  constexpr int tile = Tune::tile, m = Tune::rows, n = HD / Tune::side, pitch = Tune::pitch;
  extern __shared__ __align__(16) unsigned char memory[];
  A* k = reinterpret_cast<A*>(memory);  // [HD, pitch]
  A* v = k + HD * pitch;                // [HD, pitch]
  A* q = v + HD * pitch;                // [HD, pitch], then [tile, HD]
  A* dout = q + HD * pitch;             // [HD, pitch], then [tile, HD]
  A* p = dout + HD * pitch;             // [tile, pitch], by query
  const Place at(tiles, a.heads, a.head_dim);
  const int first_key = (tiles - 1 - at.tile) * tile;  // the first keys are seen most
  load_tile<true, HD, T>(k, a.k, at.b, first_key, a.queries, at.column, a.head_dim);
  load_tile<true, HD, T>(v, a.v, at.b, first_key, a.queries, at.column, a.head_dim);

  A dk[m][n] = {}, dv[m][n] = {};
  for (int query = first_key; query < a.queries; query += tile) {
    __syncthreads();
    load_tile<true, HD, T>(q, a.q, at.b, query, a.queries, at.column, a.head_dim);
    load_tile<true, HD, T>(dout, a.dout, at.b, query, a.queries, at.column, a.head_dim);
    __syncthreads();
    A pij[m][m], ds[m][m];
    probabilities<HD, T, A>(pij, ds, a, at, q, k, dout, v, query, first_key);
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < m; ++j) p[(at.ty * m + i) * pitch + at.tx * m + j] = pij[i][j];
    __syncthreads();
    load_tile<false, HD, T>(dout, a.dout, at.b, query, a.queries, at.column, a.head_dim);
    load_tile<false, HD, T>(q, a.q, at.b, query, a.queries, at.column, a.head_dim);
    __syncthreads();
    multiply<tile, n>(dv, p, pitch, dout, HD, at.ty, at.tx);
    __syncthreads();
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < m; ++j) p[(at.ty * m + i) * pitch + at.tx * m + j] = ds[i][j];
    __syncthreads();
    multiply<tile, n>(dk, p, pitch, q, HD, at.ty, at.tx);
  }
  for (int i = 0; i < m; ++i) {
    const int r = first_key + at.ty * m + i;
    if (r >= a.queries) continue;
    T *to_k = a.dk.row(at.b, static_cast<std::size_t>(r), at.column),
      *to_v = a.dv.row(at.b, static_cast<std::size_t>(r), at.column);
    for (int j = 0; j < n; ++j)
      if (at.tx * n + j < a.head_dim) {
        to_k[at.tx * n + j] = T(dk[i][j]);
        to_v[at.tx * n + j] = T(dv[i][j]);
      }
  }
}

/// dq of a tile of queries, over the tiles of keys that they see.
template <class T, int HD>
__global__ void __launch_bounds__(256) backward_queries_kernel(const Arguments<T> a, int tiles) {
  using A = accumulate_t<T>;
  using Tune = Tuning<A>;
  constexpr int tile = Tune::tile, m = Tune::rows, n = HD / Tune::side, pitch = Tune::pitch;
  extern __shared__ __align__(16) unsigned char memory[];
  A* q = reinterpret_cast<A*>(memory);  // [HD, pitch]
  A* dout = q + HD * pitch;             // [HD, pitch]
  A* k = dout + HD * pitch;             // [HD, pitch], then [tile, HD]
  A* v = k + HD * pitch;                // [HD, pitch]
  A* ds = v + HD * pitch;               // [tile, pitch], by key
  const Place at(tiles, a.heads, a.head_dim);
  const int first = at.tile * tile;
  load_tile<true, HD, T>(q, a.q, at.b, first, a.queries, at.column, a.head_dim);
  load_tile<true, HD, T>(dout, a.dout, at.b, first, a.queries, at.column, a.head_dim);

  A dq[m][n] = {};
  for (int key = 0; key < min(a.queries, first + tile); key += tile) {
    __syncthreads();
    load_tile<true, HD, T>(k, a.k, at.b, key, a.queries, at.column, a.head_dim);
    load_tile<true, HD, T>(v, a.v, at.b, key, a.queries, at.column, a.head_dim);
    __syncthreads();
    A pij[m][m], dsij[m][m];
    probabilities<HD, T, A>(pij, dsij, a, at, q, k, dout, v, first, key);
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < m; ++j) ds[(at.tx * m + j) * pitch + at.ty * m + i] = dsij[i][j];
    __syncthreads();
    load_tile<false, HD, T>(k, a.k, at.b, key, a.queries, at.column, a.head_dim);
    __syncthreads();
    multiply<tile, n>(dq, ds, pitch, k, HD, at.ty, at.tx);
  }
  for (int i = 0; i < m; ++i) {
    const int r = first + at.ty * m + i;
    if (r >= a.queries) continue;
    T* to = a.dq.row(at.b, static_cast<std::size_t>(r), at.column);
    for (int j = 0; j < n; ++j)
      if (at.tx * n + j < a.head_dim) to[at.tx * n + j] = T(dq[i][j]);
  }
}

/// Row (b t) h of `delta` [B H, T] = the sum of dout out over head h.
template <class T>
struct Delta {
  const T *dout, *out;
  std::size_t stride_dout, stride_out;
  accumulate_t<T>* delta;
  std::size_t sequence_length, heads, head_dim;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t task) const {
    using A = accumulate_t<T>;
    const std::size_t row = task / heads, h = task % heads, b = row / sequence_length,
                      t = row % sequence_length;
    const T *x = dout + row * stride_dout + h * head_dim, *y = out + row * stride_out + h * head_dim;
    const A sum = team.sum(head_dim, [=](std::size_t c) { return A(x[c]) * A(y[c]); });
    A* to = delta + (b * heads + h) * sequence_length + t;
    team.once([=] { *to = sum; });
  }
};

}  // namespace attention_cuda

}  // namespace demix::ops
