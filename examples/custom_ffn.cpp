// Trains a model with a feed-forward layer that demix does not have: the gated experts of gated_ffn.hpp.
//
//   demix-train-custom-ffn data-bin --save-dir runs/gated --arch transformer_lm --max-update 1000
//
// prints the training loss and, at each validation, the perplexity of every domain. docs/extending.md
// explains it line by line.

#include "train.hpp"

int main(int argc, char** argv) {
  return train(argc, argv, "demix-train-custom-ffn", "demix_gated",
               "Trains a DEMix model whose experts are gated feed-forward layers (ReGLU, or GeGLU with "
               "--activation gelu).");
}
