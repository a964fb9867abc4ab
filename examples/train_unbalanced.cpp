// Trains the unbalanced dense baseline: one model for all domains, text drawn in proportion to the domains'
// sizes.
//
//   demix-train-unbalanced data-bin --save-dir runs/unbalanced --arch transformer_lm --max-update 1000
//
// prints the training loss and, at each validation, the perplexity of every domain.

#include "train.hpp"

int main(int argc, char** argv) {
  return train(argc, argv, "demix-train-unbalanced", "unbalanced",
               "Trains the unbalanced dense baseline: one model for all domains, text drawn in proportion to "
               "the domains'\nsizes.");
}
