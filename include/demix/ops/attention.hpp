#pragma once
// Causal multi-head attention: what it computes, and the place where each device says how.

#include <cstdint>

#include "demix/core/host_device.hpp"
#include "demix/core/matrix.hpp"
#include "demix/device/array.hpp"
#include "demix/ops/linear.hpp"

namespace demix::ops {

/// Shapes of an attention call: qkv [B T, 3 C] holds q, k, v side by side, each C = heads * head_dim wide.
struct AttentionShape {
  std::size_t sequences, sequence_length, heads, head_dim;

  std::size_t rows() const { return sequences * sequence_length; }
  std::size_t width() const { return heads * head_dim; }
};

/// Attention on a device: specialised once per device, and found by its type alone. Memory grows linearly
/// with T in all of them. With scale = 1 / sqrt(head_dim):
///
/// - `forward<T>(device, shape, qkv, out, logsumexp, scratch)`: out [B T, C] = softmax(scale q k^T, causal) v
/// of qkv
///   [B T, 3 C]; logsumexp [B H, T] is kept for the backward pass. Overwrites both.
/// - `forward_cached<T>(device, shape, qkv, keys_values, lengths, out, scratch)`: the same for T further
/// tokens of each
///   sequence. keys_values [B capacity, 2 C] holds k and v side by side; sequence b owns rows b capacity
///   onwards, of which the first lengths[b] (device memory) are of tokens before these and the next T of
///   these.
/// - `backward<T>(device, shape, dout, qkv, out, logsumexp, dqkv, scratch)`: dqkv [B T, 3 C], overwritten,
/// from
///   dout [B T, C] and the forward pass's qkv, out and logsumexp.
///
/// `scratch` is an array of T that grows as need be. All throw Error for wrong shapes.
template <class D>
struct Attention;

/// Row r of qkv [B T, 3 C], the t-th of sequence b: its k and v go to row b capacity + lengths[b] + t of
/// keys_values.
template <class T>
struct AppendKeysValues {
  const T* qkv;
  const std::int32_t* lengths;
  T* keys_values;
  std::size_t sequence_length, capacity, width;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const std::size_t b = r / sequence_length,
                      row = b * capacity + static_cast<std::size_t>(lengths[b]) + r % sequence_length;
    const T* from = qkv + r * 3 * width + width;
    T* to = keys_values + row * 2 * width;
    team.for_each(2 * width, [=](std::size_t c) { to[c] = from[c]; });
  }
};

/// Writes the k and v of T further tokens of each sequence into keys_values, as forward_cached reads them.
template <device::Device D, class T>
void append_keys_values(D& device, const AttentionShape& shape, In<T> qkv, const std::int32_t* lengths,
                        Matrix<T> keys_values) {
  require_shape("append_keys_values: qkv", qkv, shape.rows(), 3 * shape.width());
  device.rows(shape.rows(), AppendKeysValues<T>{qkv.data, lengths, keys_values.data, shape.sequence_length,
                                                keys_values.rows / shape.sequences, shape.width()});
}

}  // namespace demix::ops
