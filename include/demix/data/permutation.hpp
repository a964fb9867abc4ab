#pragma once
// Random permutations without a table.

#include <bit>
#include <cstdint>

#include "demix/core/error.hpp"
#include "demix/core/philox.hpp"

namespace demix::data {

/// A bijection of [0, n), a pure function of its key: shuffling in O(1) memory that can go on from any
/// position. A balanced Feistel network (Luby and Rackoff 1988) over the next even power of two, whose values
/// outside [0, n) are sent through it again until they fall inside (cycle walking: Black and Rogaway 2002).
class RandomPermutation {
 public:
  /// Keyed by the seed, what it is for, and two words such as a domain and an epoch. Throws Error unless n is
  /// in [1, 2^62].
  RandomPermutation(Seed seed, std::uint32_t word0, std::uint32_t word1, std::uint64_t n,
                    RandomStream stream = RandomStream::shuffling)
      : n_(n), key_(philox(seed, word0, word1, 0, static_cast<std::uint32_t>(stream))) {
    require(n >= 1 && n <= std::uint64_t{1} << 62, "a permutation of ", n, " elements was asked for");
    half_bits_ = n <= 2 ? 1 : (static_cast<int>(std::bit_width(n - 1)) + 1) / 2;
  }

  std::uint64_t size() const { return n_; }

  /// Where i goes. Throws Error unless i < n. O(1) expected, at most 4 walks on average.
  std::uint64_t operator()(std::uint64_t i) const {
    require(i < n_, "position ", i, " of a permutation of ", n_, " elements");
    do i = encrypt(i);
    while (i >= n_);
    return i;
  }

 private:
  std::uint64_t encrypt(std::uint64_t x) const {
    constexpr std::uint32_t rounds = 8;
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    std::uint64_t left = x >> half_bits_, right = x & mask;
    const Seed round_key{key_.word[0] | std::uint64_t{key_.word[1]} << 32};
    for (std::uint32_t round = 0; round < rounds; ++round) {
      const auto random =
          philox(round_key, static_cast<std::uint32_t>(right), round, key_.word[2], key_.word[3]);
      const std::uint64_t mixed = (left ^ random.word[0]) & mask;
      left = right;
      right = mixed;
    }
    return left << half_bits_ | right;
  }

  std::uint64_t n_;
  PhiloxWords key_;
  int half_bits_ = 1;
};

}  // namespace demix::data
