#pragma once
// Token and position embeddings. Tokens come sorted into groups for the backward pass, so that each row of
// the table has one writer: no atomics, and the same sum for any number of threads.

#include <algorithm>
#include <span>

#include "demix/core/host_device.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/precision.hpp"
#include "demix/core/types.hpp"
#include "demix/ops/linear.hpp"

namespace demix::ops {

/// The row of the position table for position t of a sequence: tables start with padding_idx + 1 unused rows.
inline constexpr std::size_t position_offset = static_cast<std::size_t>(pad_token) + 1;

/// x[r] = scale table[token[r]] + positions[offset + lengths[r / T] + r % T]; no lengths are lengths of 0, no
/// positions are zero.
template <class T>
struct EmbeddingForward {
  using A = accumulate_t<T>;
  const Token* tokens;
  const T *table, *positions;
  const std::int32_t* lengths;
  T* x;
  std::size_t sequence_length, cols;
  A scale;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* e = table + static_cast<std::size_t>(tokens[r]) * cols;
    T* xr = x + r * cols;
    const A s = scale;
    if (!positions) {
      team.for_each(cols, [=](std::size_t c) { xr[c] = T(s * A(e[c])); });
      return;
    }
    const std::size_t before = lengths ? static_cast<std::size_t>(lengths[r / sequence_length]) : 0;
    const T* p = positions + (before + r % sequence_length + position_offset) * cols;
    team.for_each(cols, [=](std::size_t c) { xr[c] = T(s * A(e[c]) + A(p[c])); });
  }
};

/// Row g: dtable[token of group g] += scale * the sum of dx over the group's rows.
template <class T>
struct EmbeddingBackward {
  using A = accumulate_t<T>;
  const Token* group_token;
  const std::int32_t *group_first,
      *rows;  // group g owns rows[group_first[g]] .. rows[group_first[g + 1] - 1]
  const T* dx;
  A* dtable;
  std::size_t cols;
  A scale;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t g) const {
    A* d = dtable + static_cast<std::size_t>(group_token[g]) * cols;
    const A s = scale;
    for (std::int32_t i = group_first[g]; i < group_first[g + 1]; ++i) {
      const T* dxr = dx + static_cast<std::size_t>(rows[i]) * cols;
      team.for_each(cols, [=](std::size_t c) { d[c] += s * A(dxr[c]); });
    }
  }
};

/// Row t: dpositions[offset + t] += the sum of dx over the sequences at position t.
template <class T>
struct PositionBackward {
  using A = accumulate_t<T>;
  const T* dx;
  A* dpositions;
  std::size_t sequences, sequence_length, cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t t) const {
    A* d = dpositions + (t + position_offset) * cols;
    for (std::size_t b = 0; b < sequences; ++b) {
      const T* dxr = dx + (b * sequence_length + t) * cols;
      team.for_each(cols, [=](std::size_t c) { d[c] += A(dxr[c]); });
    }
  }
};

/// The rows of a batch grouped by token, in device memory: group g owns rows[firsts[g]] .. rows[firsts[g + 1]
/// - 1].
struct TokenGroups {
  std::size_t size = 0;
  const Token* tokens = nullptr;                          // [size]
  const std::int32_t *firsts = nullptr, *rows = nullptr;  // [size + 1], [firsts[size]]
};

/// Groups the rows of `tokens` by token, in ascending order of tokens and, within one, of rows, for upload;
/// rows of the padding token are left out: it has no gradient. Overwrites rows [N], group_tokens [N] and
/// firsts [N + 1], all of which may be filled in part. Returns the number of groups.
inline std::size_t group_tokens(std::span<const Token> tokens, std::span<std::int32_t> rows,
                                std::span<Token> group_tokens, std::span<std::int32_t> firsts) {
  const auto at = [&](std::int32_t row) { return tokens[static_cast<std::size_t>(row)]; };
  std::size_t count = 0, groups = 0;
  for (std::size_t r = 0; r < tokens.size(); ++r)
    if (tokens[r] != pad_token) rows[count++] = static_cast<std::int32_t>(r);
  std::sort(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count),
            [&](auto a, auto b) { return at(a) != at(b) ? at(a) < at(b) : a < b; });
  for (std::size_t i = 0; i < count; ++i)
    if (i == 0 || at(rows[i]) != group_tokens[groups - 1]) {
      group_tokens[groups] = at(rows[i]);
      firsts[groups++] = static_cast<std::int32_t>(i);
    }
  firsts[groups] = static_cast<std::int32_t>(count);
  return groups;
}

/// x [B T, C] = scale table[tokens] + positions. tokens [B T] are the device's, each below V (the caller
/// checks); table [V, C]; positions [>= T + 2, C], or without data for none. lengths [B], the device's,
/// counts the tokens of each sequence before these (the caller checks that positions reach); null: none.
/// Overwrites x.
template <device::Device D, class T>
void embedding(D& device, const Token* tokens, In<T> table, In<T> positions, std::size_t sequence_length,
               accumulate_t<T> scale, Matrix<T> x, const std::int32_t* lengths = nullptr) {
  if (positions.data)
    require(positions.rows >= sequence_length + position_offset, "embedding: ", sequence_length,
            " positions need a table of ", sequence_length + position_offset, " rows, not ", positions.rows);
  require(table.cols == x.cols && positions.cols == x.cols, "embedding: widths differ: table ",
          shape_of(table), ", positions ", shape_of(positions), ", x ", shape_of(x));
  device.rows(x.rows, EmbeddingForward<T>{tokens, table.data, positions.data, lengths, x.data,
                                          sequence_length, x.cols, scale});
}

/// dtable [V, C] += scale * the rows of dx [B T, C] by token.
template <class T, device::Device D>
void embedding_backward(D& device, const TokenGroups& groups, Matrix<const T> dx, accumulate_t<T> scale,
                        Matrix<accumulate_t<T>> dtable) {
  require(dtable.cols == dx.cols, "embedding_backward: dtable is ", shape_of(dtable), ", dx is ",
          shape_of(dx));
  device.rows(groups.size, EmbeddingBackward<T>{groups.tokens, groups.firsts, groups.rows, dx.data,
                                                dtable.data, dx.cols, scale});
}

/// dpositions [T + 2, C] += the rows of dx [B T, C] by position.
template <class T, device::Device D>
void position_backward(D& device, Matrix<const T> dx, std::size_t sequence_length,
                       Matrix<accumulate_t<T>> dpositions) {
  require(dpositions.cols == dx.cols && dpositions.rows >= sequence_length + position_offset,
          "position_backward: dpositions is ", shape_of(dpositions), ", dx is ", shape_of(dx));
  device.rows(sequence_length, PositionBackward<T>{dx.data, dpositions.data, dx.rows / sequence_length,
                                                   sequence_length, dx.cols});
}

}  // namespace demix::ops
