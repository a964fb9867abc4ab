// Saves small models with random parameters, and what they answer to a token sequence, for a check in Python.
//
//   write_logits_cases FOLDER
//
// FOLDER/NAME is a checkpoint; FOLDER/NAME.json holds its expert's name (or null), tokens [T], logits [T, V]
// and of every parameter the name, shape and first and last value.

#include <nlohmann/json.hpp>

#include "checkpoint/fixtures.hpp"
#include "demix/program/run_program.hpp"

namespace demix::test {
namespace {

template <class Model>
void write_case(const fs::path& folder, const std::string& name, const ModelConfig& config, int expert) {
  device::Cpu device;
  Model model(device, config, {"legal", "med"}, Seed{7});
  std::uint32_t count = 0;
  for_each_parameter(model, model.weights().master(),
                     [&](const ParameterInfo& info, std::span<float> values) {
                       for (float& value : values)
                         value = (uniform_unit(philox(Seed{8}, count++, 0, 0, 0).word[0]) - 0.5f) +
                                 (info.name.ends_with("norm.weight") ? 1.0f : 0.0f);
                     });
  save_without_state(folder / name, Model::has_experts ? "demix" : "dense", model);

  Batch batch;
  batch.sequence_length = config.tokens_per_sample;
  for (std::size_t t = 0; t < batch.sequence_length; ++t)
    batch.source.push_back(static_cast<Token>((5 * t + 2) % config.vocabulary));
  batch.target.assign(batch.source.size(), pad_token);
  batch.segments = {{DomainId(expert), 0, 1}};
  nlohmann::json parameters;
  for (const RegionId r : model.weights().master().regions())
    for (const auto& info : r.layout(model.layout()).parameters())
      parameters.push_back(
          {{"file", r.is_shared() ? std::string("model.h5")
                                  : "experts/" + model.domains()[index(r.expert())] + ".h5"},
           {"name", info.name},
           {"shape", info.vector ? nlohmann::json{info.cols} : nlohmann::json{info.rows, info.cols}},
           {"first", model.weights().master().region(r)[info.offset]},
           {"last", model.weights().master().region(r)[info.offset + info.size() - 1]}});
  const auto expert_name = Model::has_experts
                               ? nlohmann::json(model.domains()[static_cast<std::size_t>(expert)])
                               : nlohmann::json();
  write_bytes(folder / (name + ".json"), nlohmann::json{{"expert", expert_name},
                                                        {"tokens", batch.source},
                                                        {"logits", model.logits(batch)},
                                                        {"parameters", parameters}}
                                             .dump());
}

void write_cases(const fs::path& folder) {
  fs::remove_all(folder);
  fs::create_directories(folder);
  auto config = small_config();
  config.d_model = 12;
  config.heads = 3;
  write_case<DenseModel<device::Cpu, Fp32, ops::Relu>>(folder, "dense_relu_sinusoidal_untied", config, 0);
  write_case<DEMixModel<device::Cpu, Fp32, ops::Relu>>(folder, "demix_relu_sinusoidal_untied", config, 0);
  config.activation = "gelu";
  config.positions = Positions::learned;
  config.tied_embeddings = true;
  write_case<DenseModel<device::Cpu, Fp32, ops::Gelu>>(folder, "dense_gelu_learned_tied", config, 0);
  write_case<DEMixModel<device::Cpu, Fp32, ops::Gelu>>(folder, "demix_gelu_learned_tied", config, 1);
}

}  // namespace
}  // namespace demix::test

int main(int argc, char** argv) {
  return demix::program::run_program("write_logits_cases", [&] {
    if (argc != 2) throw demix::UsageError("usage: write_logits_cases FOLDER");
    demix::test::write_cases(argv[1]);
    return 0;
  });
}
