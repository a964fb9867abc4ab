// Adapts a trained model to a new domain: a DEMix model gets an expert for it.
//
//   demix-adapt data-bin runs/demix/checkpoint_last --domain news --mode feedforward --save-dir runs/news
//
// prints the posterior over the old experts on the new text and which one the new expert starts from, then
// the loss and the perplexity on the new domain; runs/news/joined is the whole model.

#include "demix/program/adapt.hpp"

#include "models.hpp"

int main(int argc, char** argv) { return demix::program::adapt(argc, argv, models()); }
