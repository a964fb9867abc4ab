// The experts of a checkpoint as parts: list, add, remove, rename, merge and extract them.
//
//   demix-experts list runs/demix/checkpoint_last
//   demix-experts remove runs/demix/checkpoint_last news --output runs/without_news
//
// Every operation but list writes a new checkpoint; the one that it reads stays as it is.

#include "demix/program/experts.hpp"

int main(int argc, char** argv) { return demix::program::experts(argc, argv); }
