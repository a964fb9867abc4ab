// Perplexity of a checkpoint on a split, per domain.
//
//   demix-eval data-bin runs/demix/checkpoint_last --split test
//
// prints one line per domain (perplexity, loss in nats, tokens, tokens per second) and the average
// perplexity.

#include "demix/program/eval.hpp"

#include "models.hpp"

int main(int argc, char** argv) { return demix::program::evaluate(argc, argv, models()); }
