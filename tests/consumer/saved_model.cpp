// Includes every header, and saves and loads a model.
#include <algorithm>
#include <iostream>

#include "all_headers.hpp"

int main(int, char** argv) {
  demix::device::Cpu device;
  demix::ModelConfig config = demix::architecture("transformer_lm");
  config.vocabulary = 10;
  config.layers = 1;
  config.d_model = config.d_ffn = 8;
  config.heads = 1;
  using Model = demix::DEMixModel<demix::device::Cpu, demix::Fp32, demix::ops::Relu>;
  Model model(device, config, {"law", "code"}, demix::Seed{1});
  Model loaded(device, config, {"law", "code"}, demix::Seed{2});

  demix::checkpoint::Metadata metadata;
  metadata.experiment = "demix";
  metadata.config = model.dictionary_config();
  metadata.domains = model.domains();
  demix::checkpoint::save(argv[1], metadata, model);
  demix::checkpoint::load_values(argv[1], loaded);
  bool equal = true;
  for (const demix::RegionId r : model.weights().master().regions())
    equal =
        equal && std::ranges::equal(model.weights().master().region(r), loaded.weights().master().region(r));
  std::cout << "demix " DEMIX_VERSION ": " << (equal ? "equal" : "different") << "\n";
}
