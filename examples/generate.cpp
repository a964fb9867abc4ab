// Text from a model: the continuation of prompts by one expert, or by the mixture of all.
//
//   demix-generate runs/demix/checkpoint_last --data data-bin --prompt "The court" --show-posterior
//
// prints each token as it is drawn, and which expert the text so far speaks for.

#include "demix/program/generate.hpp"

#include "models.hpp"

int main(int argc, char** argv) { return demix::program::generate(argc, argv, models()); }
