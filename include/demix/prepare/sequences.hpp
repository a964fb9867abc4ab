#pragma once
// What </s> ends: a document, or as in the original each of its lines.

#include <algorithm>
#include <string_view>

#include "demix/prepare/white_space.hpp"

namespace demix::prepare {

/// The text that is encoded by itself and ended by </s>: a sequence, which is an entry of the .idx.
enum class SequenceUnit { document, line };

/// Calls f(std::string_view sequence) for the sequences of a document in order; there is at least one.
/// `document` begins with the document prefix. A document is itself, byte for byte. Of lines, white space
/// at both ends of the document, and then of each line, is gone; lines end with \n, \r or \r\n, and may be
/// empty.
template <class F>
void for_each_sequence(SequenceUnit unit, std::string_view document, F&& f) {
  if (unit == SequenceUnit::document) return f(document);
  document = strip(document);
  for (;;) {
    const std::size_t end = std::min(document.find_first_of("\n\r"), document.size());
    f(strip(document.substr(0, end)));
    if (end == document.size()) return;
    document.remove_prefix(document.substr(end).starts_with("\r\n") ? end + 2 : end + 1);
  }
}

/// The text of a sequence without the document prefix, where it begins with it. Of a line, `prefix` may have
/// lost the white space at its ends.
inline std::string_view without_prefix(SequenceUnit unit, std::string_view sequence,
                                       std::string_view prefix) {
  if (unit == SequenceUnit::line) {
    if (sequence == strip(prefix)) return {};
    prefix = strip_left(prefix);
  }
  if (sequence.starts_with(prefix)) sequence.remove_prefix(prefix.size());
  return sequence;
}

}  // namespace demix::prepare
