#pragma once
// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"
// (SC 2011). A random number is a pure function of (seed, counter): it does not depend on threads or order.

#include <array>
#include <cstdint>

#include "demix/core/host_device.hpp"
#include "demix/core/types.hpp"

namespace demix {

/// Four random 32-bit words, uniform and independent for distinct (seed, counter).
struct PhiloxWords {
  std::uint32_t word[4];
};

/// The 128-bit counter names what the numbers are for; two uses must never share one.
DEMIX_HOST_DEVICE inline PhiloxWords philox(Seed seed, std::uint32_t c0, std::uint32_t c1, std::uint32_t c2,
                                            std::uint32_t c3) {
  constexpr std::uint64_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;
  std::uint32_t k0 = static_cast<std::uint32_t>(seed.value);
  std::uint32_t k1 = static_cast<std::uint32_t>(seed.value >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = multiplier0 * c0, p1 = multiplier1 * c2;
    const std::uint32_t hi0 = static_cast<std::uint32_t>(p0 >> 32), lo0 = static_cast<std::uint32_t>(p0);
    const std::uint32_t hi1 = static_cast<std::uint32_t>(p1 >> 32), lo1 = static_cast<std::uint32_t>(p1);
    c0 = hi1 ^ c1 ^ k0;
    c1 = lo1;
    c2 = hi0 ^ c3 ^ k1;
    c3 = lo0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

/// A uniform number in (0, 1) from 23 of the bits, never 0 and never 1.
DEMIX_HOST_DEVICE inline float uniform_unit(std::uint32_t word) {
  return (static_cast<float>(word >> 9) + 0.5f) * (1.0f / 8388608.0f);
}

/// What a counter's last word says its numbers are used for.
enum class RandomStream : std::uint32_t {
  initialization = 1,
  shuffling = 2,
  dropout = 3,
  splitting = 4,
  sampling = 5,
  layers = 6  // what a policy's layers draw
};

}  // namespace demix
