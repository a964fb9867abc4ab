// Perplexity of a mixture of a model's experts, and the posterior over them.
//
//   demix-mix data-bin runs/demix/checkpoint_last --domain news --mode estimate --output news.jsonl
//   demix-mix data-bin runs/demix/checkpoint_last --domain news --mode eval --prior news.jsonl
//
// prints the perplexity of the mixture, of every expert alone, and how probable each expert was.

#include "demix/program/mix.hpp"

#include "models.hpp"

int main(int argc, char** argv) { return demix::program::mix(argc, argv, models()); }
