#pragma once
// Token and position embeddings. Tokens come sorted into groups for the backward pass, so that each row of
// the table has one writer: no atomics, and the same sum for any number of threads.

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

#include "demix/core/host_device.hpp"
#include "demix/core/matrix.hpp"
#include "demix/core/types.hpp"
#include "demix/device/array.hpp"
#include "demix/ops/linear.hpp"

namespace demix::ops {

/// The row of the position table for position t of a sequence: tables start with padding_idx + 1 unused rows.
inline constexpr std::size_t position_offset = static_cast<std::size_t>(pad_token) + 1;

/// x[r] = scale table[token[r]] + positions[offset + past[r / T] + r % T]; no past is a past of 0.
template <class T>
struct EmbeddingForward {
  const Token* tokens;
  const T *table, *positions;
  const std::int32_t* past;
  T* x;
  std::size_t sequence_length, cols;
  T scale;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const T* e = table + static_cast<std::size_t>(tokens[r]) * cols;
    const std::size_t before = past ? static_cast<std::size_t>(past[r / sequence_length]) : 0;
    const T* p = positions + (before + r % sequence_length + position_offset) * cols;
    T* xr = x + r * cols;
    const T s = scale;
    team.for_each(cols, [=](std::size_t c) { xr[c] = s * e[c] + p[c]; });
  }
};

/// Row g: dtable[token of group g] += scale * the sum of dx over the group's rows.
template <class T>
struct EmbeddingBackward {
  const Token* group_token;
  const std::int32_t *group_first,
      *rows;  // group g owns rows[group_first[g]] .. rows[group_first[g + 1] - 1]
  const T* dx;
  T* dtable;
  std::size_t cols;
  T scale;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t g) const {
    T* d = dtable + static_cast<std::size_t>(group_token[g]) * cols;
    const T s = scale;
    for (std::int32_t i = group_first[g]; i < group_first[g + 1]; ++i) {
      const T* dxr = dx + static_cast<std::size_t>(rows[i]) * cols;
      team.for_each(cols, [=](std::size_t c) { d[c] += s * dxr[c]; });
    }
  }
};

/// Row t: dpositions[offset + t] += the sum of dx over the sequences at position t.
template <class T>
struct PositionBackward {
  const T* dx;
  T* dpositions;
  std::size_t sequences, sequence_length, cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t t) const {
    T* d = dpositions + (t + position_offset) * cols;
    for (std::size_t b = 0; b < sequences; ++b) {
      const T* dxr = dx + (b * sequence_length + t) * cols;
      team.for_each(cols, [=](std::size_t c) { d[c] += dxr[c]; });
    }
  }
};

/// The rows of a batch grouped by token, on the device. Rows of the padding token are left out: it has no
/// gradient.
template <device::Device D>
class TokenGroups {
 public:
  explicit TokenGroups(D& device) : tokens_(device), firsts_(device), rows_(device) {}

  void assign(std::span<const Token> tokens) {
    const auto at = [&](std::int32_t row) { return tokens[static_cast<std::size_t>(row)]; };
    std::vector<std::int32_t> rows;
    for (std::size_t r = 0; r < tokens.size(); ++r)
      if (tokens[r] != pad_token) rows.push_back(static_cast<std::int32_t>(r));
    std::sort(rows.begin(), rows.end(),
              [&](auto a, auto b) { return at(a) != at(b) ? at(a) < at(b) : a < b; });
    std::vector<Token> group_token;
    std::vector<std::int32_t> first;
    for (std::size_t i = 0; i < rows.size(); ++i)
      if (i == 0 || at(rows[i]) != group_token.back()) {
        group_token.push_back(at(rows[i]));
        first.push_back(static_cast<std::int32_t>(i));
      }
    groups_ = group_token.size();
    first.push_back(static_cast<std::int32_t>(rows.size()));
    tokens_.assign(group_token);
    firsts_.assign(first);
    rows_.assign(rows);
  }

  std::size_t size() const { return groups_; }
  const Token* tokens() const { return tokens_.data(); }
  const std::int32_t* firsts() const { return firsts_.data(); }
  const std::int32_t* rows() const { return rows_.data(); }

 private:
  device::Array<D, Token> tokens_;
  device::Array<D, std::int32_t> firsts_, rows_;
  std::size_t groups_ = 0;
};

/// x [B T, C] = scale table[tokens] + positions. tokens [B T] are the device's, each below V (the caller
/// checks); table [V, C]; positions [>= T + 2, C]. past [B], the device's, counts the tokens of each sequence
/// before these (the caller checks that positions reach); null: none. Overwrites x.
template <device::Device D, class T>
void embedding(D& device, const Token* tokens, In<T> table, In<T> positions, std::size_t sequence_length,
               std::type_identity_t<T> scale, Matrix<T> x, const std::int32_t* past = nullptr) {
  require(positions.rows >= sequence_length + position_offset, "embedding: ", sequence_length,
          " positions need a table of ", sequence_length + position_offset, " rows, not ", positions.rows);
  require(table.cols == x.cols && positions.cols == x.cols, "embedding: widths differ: table ",
          shape_of(table), ", positions ", shape_of(positions), ", x ", shape_of(x));
  device.rows(x.rows, EmbeddingForward<T>{tokens, table.data, positions.data, past, x.data, sequence_length,
                                          x.cols, scale});
}

/// dtable [V, C] += scale * the rows of dx [B T, C] by token.
template <device::Device D, class T>
void embedding_backward(D& device, const TokenGroups<D>& groups, In<T> dx, std::type_identity_t<T> scale,
                        Matrix<T> dtable) {
  require(dtable.cols == dx.cols, "embedding_backward: dtable is ", shape_of(dtable), ", dx is ",
          shape_of(dx));
  device.rows(groups.size(), EmbeddingBackward<T>{groups.tokens(), groups.firsts(), groups.rows(), dx.data,
                                                  dtable.data, dx.cols, scale});
}

/// dpositions [T + 2, C] += the rows of dx [B T, C] by position.
template <device::Device D, class T>
void position_backward(D& device, In<T> dx, std::size_t sequence_length, Matrix<T> dpositions) {
  require(dpositions.cols == dx.cols && dpositions.rows >= sequence_length + position_offset,
          "position_backward: dpositions is ", shape_of(dpositions), ", dx is ", shape_of(dx));
  device.rows(sequence_length, PositionBackward<T>{dx.data, dpositions.data, dx.rows / sequence_length,
                                                   sequence_length, dx.cols});
}

}  // namespace demix::ops
