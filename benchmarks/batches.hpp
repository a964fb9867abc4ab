#pragma once
// Batches of random text.

#include "demix/core/philox.hpp"
#include "demix/model/batch.hpp"

namespace demix::benchmarks {

/// `sequences` sequences of one domain.
inline Batch random_batch(std::size_t sequences, std::size_t length, std::size_t vocabulary) {
  Batch batch;
  batch.sequence_length = length;
  for (std::size_t i = 0; i < sequences * length; ++i) {
    const auto random = philox(Seed{1}, static_cast<std::uint32_t>(i), 0, 0, 0);
    batch.source.push_back(static_cast<Token>(3 + random.word[0] % (vocabulary - 3)));
    batch.target.push_back(static_cast<Token>(3 + random.word[1] % (vocabulary - 3)));
  }
  batch.segments.push_back({DomainId{0}, 0, sequences});
  return batch;
}

}  // namespace demix::benchmarks
