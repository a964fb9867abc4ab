// Trains the domain-token baseline: a dense model that reads a token naming the domain before every sequence.
//
//   demix-train-domain-token data-bin --save-dir runs/domain_token --arch transformer_lm --max-update 1000
//
// prints the training loss and, at each validation, the perplexity of every domain.

#include "demix/model/experiments.hpp"
#include "demix/train/program.hpp"

template <class Activation>
using Model = demix::DomainTokenModel<demix::device::Cpu, demix::Fp32, Activation>;

int main(int argc, char** argv) {
  return demix::train::program<Model>(argc, argv,
                                      {"demix-train-domain-token", "domain_token",
                                       "Trains the domain-token baseline: a dense model that reads a token "
                                       "naming the domain before every sequence."});
}
