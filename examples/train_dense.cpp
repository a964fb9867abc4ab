// Trains the dense baseline: one model for all domains, every domain giving the same share of each batch.
//
//   demix-train-dense data-bin --save-dir runs/dense --arch transformer_lm --max-update 1000
//
// prints the training loss and, at each validation, the perplexity of every domain.

#include "train.hpp"

int main(int argc, char** argv) {
  return train(argc, argv, "demix-train-dense", "dense",
               "Trains the dense baseline: one model for all domains, every domain giving the same share of "
               "each batch.");
}
