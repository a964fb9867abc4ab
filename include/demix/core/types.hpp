#pragma once
// Strong types for the identities that must not be confused with counts or with each other.

#include <cstddef>
#include <cstdint>

namespace demix {

/// A model id of a vocabulary entry; see text/dictionary.hpp for the reserved ones.
using Token = std::int32_t;

inline constexpr Token bos_token = 0;  // <s>
inline constexpr Token pad_token = 1;  // <pad>: a target equal to it is ignored
inline constexpr Token eos_token = 2;  // </s>: ends a document, or a line of one
inline constexpr Token unk_token = 3;  // <unk>

/// The index of a domain in the model's ordered list.
enum class DomainId : std::int32_t {};

/// The index of an expert among all experts of the model, whichever of them a process holds.
enum class ExpertId : std::int32_t {};

constexpr std::size_t index(DomainId domain) { return static_cast<std::size_t>(domain); }
constexpr std::size_t index(ExpertId expert) { return static_cast<std::size_t>(expert); }

/// The key of every counter-based random stream of a run.
struct Seed {
  std::uint64_t value = 1;
};

}  // namespace demix
