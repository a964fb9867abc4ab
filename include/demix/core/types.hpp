#pragma once
// Strong types for the identities that must not be confused with counts or with each other.

#include <cstdint>

namespace demix {

/// A model id of a vocabulary entry; see data/dictionary.hpp for the reserved ones.
using Token = std::int32_t;

inline constexpr Token bos_token = 0;  // <s>
inline constexpr Token pad_token = 1;  // <pad>: a target equal to it is ignored
inline constexpr Token eos_token = 2;  // </s>: ends a document
inline constexpr Token unk_token = 3;  // <unk>

/// The index of a domain in the model's ordered list; in a DEMix model also the index of its expert.
enum class DomainId : std::int32_t {};

constexpr int index(DomainId domain) { return static_cast<int>(domain); }

/// The key of every counter-based random stream of a run.
struct Seed {
  std::uint64_t value = 1;
};

}  // namespace demix
