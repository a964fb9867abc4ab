#pragma once
// Attention on CUDA: checks and launches of the kernels of attention_kernels.cuh.

#include <algorithm>
#include <cmath>

#include "demix/ops/attention_kernels.cuh"

namespace demix::ops {

namespace attention_cuda {

/// call.operator()<HD>() with the smallest compiled head size that holds `head_dim`.
template <class Call>
void with_head_size(std::size_t head_dim, Call call) {
  if (head_dim <= 16) return call.template operator()<16>();
  if (head_dim <= 32) return call.template operator()<32>();
  if (head_dim <= 64) return call.template operator()<64>();
  if (head_dim <= 96) return call.template operator()<96>();
  require(head_dim <= Tuning<float>::widest_head, "CUDA attention: heads of ", head_dim,
          ", expected at most ", Tuning<float>::widest_head);
  return call.template operator()<128>();
}

/// One block per tile of each (sequence, head).
template <class T, class Kernel>
void launch(device::Cuda& device, Kernel kernel, std::size_t bytes, const AttentionShape& shape,
            const Arguments<T>& arguments) {
  const std::size_t tiles = ceil_div(shape.sequence_length, std::size_t{Tuning<accumulate_t<T>>::tile}),
                    blocks = checked_product("attention: blocks", tiles, shape.sequences, shape.heads);
  if (blocks == 0) return;
  require(blocks <= 0x7fffffffu, "CUDA attention: ", blocks, " blocks are more than a launch may have");
  DEMIX_CUDA_TRY(
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
  kernel<<<static_cast<unsigned>(blocks), Tuning<accumulate_t<T>>::threads, bytes, device.stream()>>>(
      arguments, static_cast<int>(tiles));
  DEMIX_CUDA_TRY(cudaGetLastError());
}

template <class T>
View<T> part(Matrix<T> m, std::size_t rows_of_sequence, std::size_t number, const AttentionShape& shape) {
  return {m.data + number * shape.width(), m.stride, rows_of_sequence};
}

template <class T>
Arguments<T> arguments(const AttentionShape& shape) {
  Arguments<T> a{};
  a.queries = static_cast<int>(shape.sequence_length);
  a.heads = static_cast<int>(shape.heads);
  a.head_dim = static_cast<int>(shape.head_dim);
  a.scale = accumulate_t<T>(1 / std::sqrt(static_cast<double>(shape.head_dim)));
  return a;
}

}  // namespace attention_cuda

template <>
struct Attention<device::Cuda> {
  template <class T>
  static void forward(device::Cuda& device, const AttentionShape& shape, In<T> qkv, Matrix<T> out,
                      Matrix<accumulate_t<T>> logsumexp, device::Array<device::Cuda, T>&) {
    using namespace attention_cuda;
    require_shape("attention forward: qkv", qkv, shape.rows(), 3 * shape.width());
    require_shape("attention forward: out", out, shape.rows(), shape.width());
    require_shape("attention forward: logsumexp", logsumexp, shape.sequences * shape.heads,
                  shape.sequence_length);
    Arguments<T> a = arguments<T>(shape);
    a.q = part(qkv, shape.sequence_length, 0, shape);
    a.k = part(qkv, shape.sequence_length, 1, shape);
    a.v = part(qkv, shape.sequence_length, 2, shape);
    a.o = part(out, shape.sequence_length, 0, shape);
    a.logsumexp = logsumexp.data;
    launch_forward(device, shape, a);
  }

  template <class T>
  static void forward_cached(device::Cuda& device, const AttentionShape& shape, In<T> qkv, In<T> keys_values,
                             const std::int32_t* lengths, Matrix<T> out, device::Array<device::Cuda, T>&) {
    using namespace attention_cuda;
    require_shape("attention forward_cached: qkv", qkv, shape.rows(), 3 * shape.width());
    require_shape("attention forward_cached: out", out, shape.rows(), shape.width());
    const std::size_t capacity = keys_values.rows / std::max<std::size_t>(shape.sequences, 1);
    require_shape("attention forward_cached: keys_values", keys_values, shape.sequences * capacity,
                  2 * shape.width());
    Arguments<T> a = arguments<T>(shape);
    a.q = part(qkv, shape.sequence_length, 0, shape);
    a.k = part(keys_values, capacity, 0, shape);
    a.v = part(keys_values, capacity, 1, shape);
    a.o = part(out, shape.sequence_length, 0, shape);
    a.lengths = lengths;
    launch_forward(device, shape, a);
  }

  template <class T>
  static void backward(device::Cuda& device, const AttentionShape& shape, In<T> dout, In<T> qkv, In<T> out,
                       In<accumulate_t<T>> logsumexp, Matrix<T> dqkv,
                       device::Array<device::Cuda, T>& scratch) {
    using namespace attention_cuda;
    using A = accumulate_t<T>;
    require_shape("attention backward: dout", dout, shape.rows(), shape.width());
    require_shape("attention backward: qkv", qkv, shape.rows(), 3 * shape.width());
    require_shape("attention backward: out", out, shape.rows(), shape.width());
    require_shape("attention backward: dqkv", dqkv, shape.rows(), 3 * shape.width());
    require_shape("attention backward: logsumexp", logsumexp, shape.sequences * shape.heads,
                  shape.sequence_length);
    static_assert(sizeof(T) == sizeof(A), "delta lies in the scratch array");
    scratch.reserve(shape.rows() * shape.heads);
    device.rows(shape.rows() * shape.heads,
                Delta<T>{dout.data, out.data, dout.stride, out.stride, scratch.data(), shape.sequence_length,
                         shape.heads, shape.head_dim});
    Arguments<T> a = arguments<T>(shape);
    a.q = part(qkv, shape.sequence_length, 0, shape);
    a.k = part(qkv, shape.sequence_length, 1, shape);
    a.v = part(qkv, shape.sequence_length, 2, shape);
    a.dout = part(dout, shape.sequence_length, 0, shape);
    a.dq = part(dqkv, shape.sequence_length, 0, shape);
    a.dk = part(dqkv, shape.sequence_length, 1, shape);
    a.dv = part(dqkv, shape.sequence_length, 2, shape);
    a.logsumexp = const_cast<A*>(logsumexp.data);
    a.delta = scratch.data();
    with_head_size(shape.head_dim, [&]<int HD>() {
      launch(device, backward_keys_kernel<T, HD>, shared_bytes<A, HD>(4, 1), shape, a);
      launch(device, backward_queries_kernel<T, HD>, shared_bytes<A, HD>(4, 1), shape, a);
    });
  }

 private:
  template <class T>
  static void launch_forward(device::Cuda& device, const AttentionShape& shape,
                             const attention_cuda::Arguments<T>& a) {
    using namespace attention_cuda;
    with_head_size(shape.head_dim, [&]<int HD>() {
      launch(device, forward_kernel<T, HD>, shared_bytes<accumulate_t<T>, HD>(2, 1), shape, a);
    });
  }
};

}  // namespace demix::ops
