// What scoring with E experts costs, in forward passes of one expert, on the CPU: all experts, and the k most
// probable ones behind the first segment.
//
//   benchmark_mixing --experts 8
//
// prints, for each, seconds and the ratio to one expert's pass over the same batch.

#include <cstdio>

#include "axes.hpp"
#include "batches.hpp"
#include "demix/eval/expert_losses.hpp"
#include "demix/model/experiments.hpp"
#include "demix/program/command_line.hpp"
#include "demix/program/run_program.hpp"

namespace demix::benchmarks {
namespace {

int run(int argc, char** argv) {
  using program::option::count;
  ModelConfig config = architecture("transformer_lm_gpt3_small");
  std::size_t expert_count = 0, sequences = 0;
  int tries = 0;
  program::CommandLine line{"benchmark_mixing [options]",
                            "Times scoring by the experts of a DEMix gelu model.",
                            "benchmark_mixing --experts 8 --layers 4 --d-model 192 --heads 6"};
  line.options.add_options()("experts", count(expert_count, 1)->default_value(8), "E")(
      "layers", count(config.layers, 1)->default_value(4), "blocks")(
      "d-model", count(config.d_model, 1)->default_value(192), "width")(
      "heads", count(config.heads, 1)->default_value(6), "attention heads")(
      "vocabulary", count(config.vocabulary, 1)->default_value(4096), "tokens of the dictionary")(
      "tokens-per-sample", count(config.tokens_per_sample, 1)->default_value(128), "length of a sequence")(
      "sequences", count(sequences, 1)->default_value(16), "sequences of a batch")(
      "tries", program::option::whole(tries, 1, 1000000)->default_value(5),
      "the fastest of so many is taken");
  boost::program_options::variables_map values;
  if (!line.parse(argc, argv, values)) return 0;
  config.d_ffn = 4 * config.d_model;
  std::vector<std::string> names;
  std::vector<DomainId> experts;
  for (std::size_t e = 0; e < expert_count; ++e) {
    names.push_back(std::to_string(e));
    experts.push_back(DomainId(static_cast<int>(e)));
  }
  device::Cpu cpu;
  DEMixModel<device::Cpu, Fp32, ops::Gelu> model(cpu, config, names, Seed{1});
  const Batch batch = random_batch(sequences, config.tokens_per_sample, config.vocabulary);
  const std::vector<bool> asked(experts.size(), true);

  // Before timing: all experts start alike, so each says what the first one says.
  const auto alone = model.token_losses(batch);
  eval::SessionScorer scorer(model.session());
  const auto together = eval::expert_losses(scorer, batch, experts, asked);
  for (std::size_t j = 0; j < experts.size(); ++j)
    for (std::size_t r = 0; r < batch.rows(); ++r)
      require(std::fabs(together.values[j * batch.rows() + r] - static_cast<double>(alone[r])) < 1e-4,
              "expert ", j, " has the loss ", together.values[j * batch.rows() + r], " at row ", r,
              ", expected ", alone[r]);

  const double one = fastest(tries, [&] { model.token_losses(batch); });
  std::printf("%-28s %10.4f s\n", "one expert", one);
  const auto report = [&](const std::string& name, double seconds) {
    std::printf("%-28s %10.4f s  %6.3f passes of one\n", name.c_str(), seconds, seconds / one);
  };
  report(concat("all ", experts.size(), " experts"),
         fastest(tries, [&] { eval::expert_losses(scorer, batch, experts, asked); }));
  const eval::Mixture mixture(eval::Ensemble::uniform_prior, eval::PosteriorOver::prefix,
                              eval::uniform_prior(experts.size()));
  const std::size_t first_segment = std::max<std::size_t>(1, config.tokens_per_sample / 8);
  for (std::size_t k = 1; k < experts.size(); k *= 2)
    report(concat("the ", k, " most probable"), fastest(tries, [&] {
             eval::most_probable_expert_losses(scorer, batch, experts, mixture, k, first_segment);
           }));
  return 0;
}

}  // namespace
}  // namespace demix::benchmarks

int main(int argc, char** argv) {
  return demix::program::run_program("benchmark_mixing", [&] { return demix::benchmarks::run(argc, argv); });
}
