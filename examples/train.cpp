// What the trainers have in common, compiled once.

#include "train.hpp"

#include "demix/program/train.hpp"
#include "models.hpp"

int train(int argc, char** argv, const char* program, const char* model, const char* purpose) {
  return demix::program::train(argc, argv, {program, model, purpose}, models());
}
