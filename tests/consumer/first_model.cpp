#include <iostream>

#include "demix/model/experiments.hpp"

int main() {
  demix::device::Cpu device;
  demix::ModelConfig config = demix::architecture("transformer_lm");
  config.vocabulary = 1000;
  demix::DEMixModel<demix::device::Cpu, demix::Fp32, demix::ops::Relu> model(device, config, {"law", "code"},
                                                                             demix::Seed{1});
  demix::Batch batch;  // two sequences of three tokens, one of each domain
  batch.sequence_length = 3;
  batch.source = {2, 10, 11, 2, 20, 21};
  batch.target = {10, 11, 12, 20, 21, 22};
  batch.segments = {{demix::DomainId{0}, 0, 1}, {demix::DomainId{1}, 1, 2}};

  auto gradients = model.make_gradients();
  for (const float loss : model.accumulate_gradients(batch, {}, gradients)) std::cout << loss << ' ';
  std::cout << "\n"
            << model.weights().size() << " parameters in " << gradients.regions().size() << " regions\n";
}
