// Turns text into a data-bin, or a split of a data-bin back into text.
//
//   demix-prepare --input law=law.jsonl --input code=src/ --output data-bin --vocab-size 8192
//
// prints a table of documents, bytes and tokens per domain and split, which data-bin/summary.json repeats.

#include "demix/program/prepare.hpp"

int main(int argc, char** argv) { return demix::program::prepare(argc, argv); }
