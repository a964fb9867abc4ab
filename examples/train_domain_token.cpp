// Trains the domain-token baseline: a dense model that reads a token naming the domain before every sequence.
//
//   demix-train-domain-token data-bin --save-dir runs/domain_token --arch transformer_lm --max-update 1000
//
// prints the training loss and, at each validation, the perplexity of every domain.

#include "train.hpp"

int main(int argc, char** argv) {
  return train(argc, argv, "demix-train-domain-token", "domain_token",
               "Trains the domain-token baseline: a dense model that reads a token naming the domain before "
               "every sequence.");
}
