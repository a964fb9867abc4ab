// Trains a DEMix model: the feed-forward layers exist once per domain, everything else is shared.
//
//   demix-train-demix data-bin --save-dir runs/demix --arch transformer_lm --max-update 1000
//
// prints the training loss and, at each validation, the perplexity of every domain.

#include "train.hpp"

int main(int argc, char** argv) {
  return train(
      argc, argv, "demix-train-demix", "demix",
      "Trains a DEMix model: the feed-forward layers exist once per domain, everything else is shared.");
}
