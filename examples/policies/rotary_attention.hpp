#pragma once
// Positions by rotation (Su et al., "RoFormer", 2021, section 3.2): the i-th pair of columns (2 i, 2 i + 1)
// of every head's query and key turns by the angle t 10000^(-2 i / head_dim) for the token at position t, so
// that scores depend on distances alone. A model with RotaryAttention takes Positions::none.

#include <cmath>

#include "demix/model/causal_attention.hpp"

namespace policies {
using namespace demix;

/// Row r of qkv [B T, 3 C]: turns q and k by `direction` times their angles. One sine and cosine serves all
/// heads.
template <class T, class A = accumulate_t<T>>
struct Rotate {
  T* qkv;
  const std::int32_t* lengths;
  ops::AttentionShape shape;
  A direction;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const std::size_t length = shape.sequence_length, head_dim = shape.head_dim;
    const std::size_t before = lengths ? static_cast<std::size_t>(lengths[r / length]) : 0;
    const A turns = direction * static_cast<A>(before + r % length);
    const A rate = A(-9.210340371976184) / static_cast<A>(head_dim);  // -log(10000) / head_dim
    T* const row = qkv + r * 3 * shape.heads * head_dim;
    const std::size_t heads = 2 * shape.heads;  // of q, then of k
    team.for_each(head_dim / 2, [=](std::size_t i) {
      const A angle = turns * std::exp(rate * static_cast<A>(2 * i)), cosine = std::cos(angle),
              sine = std::sin(angle);
      for (std::size_t h = 0; h < heads; ++h) {
        T* pair = row + h * head_dim + 2 * i;
        const A x = A(pair[0]), y = A(pair[1]);
        pair[0] = T(x * cosine - y * sine);
        pair[1] = T(x * sine + y * cosine);
      }
    });
  }
};

struct RotaryPositions {
  template <device::Device D, class T>
  static void rotate(D& device, const ops::AttentionShape& shape, Matrix<T> qkv,
                     const std::int32_t* lengths) {
    turn(device, shape, qkv, lengths, 1);
  }
  /// A rotation's gradient is turned back.
  template <device::Device D, class T>
  static void rotate_backward(D& device, const ops::AttentionShape& shape, Matrix<T> dqkv) {
    turn(device, shape, dqkv, nullptr, -1);
  }

 private:
  template <device::Device D, class T>
  static void turn(D& device, const ops::AttentionShape& shape, Matrix<T> qkv, const std::int32_t* lengths,
                   int direction) {
    require(shape.head_dim % 2 == 0, "rotary positions: heads of ", shape.head_dim,
            " columns have no pairs; make d_model / heads even");
    device.rows(qkv.rows, Rotate<T>{qkv.data, lengths, shape, static_cast<accumulate_t<T>>(direction)});
  }
};

using RotaryAttention = RotatedCausalAttention<RotaryPositions>;

}  // namespace policies
