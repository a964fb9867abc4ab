// Tokens per second of a whole training step (forward, backward, norm, Adam) of a dense model on the CPU.
//
//   benchmark_training_step --layers 12 --d-model 768 --heads 12
//
// prints
//
//   tokens/s 248.442  GFLOP/s 188.246  gemm GFLOP/s 213.01  (forward+backward 4.06382 s, norm and Adam
//   0.0578622 s a step)

#include <iostream>

#include "axes.hpp"
#include "batches.hpp"
#include "demix/model/experiments.hpp"
#include "demix/optim/adam.hpp"
#include "demix/optim/gradient_norm.hpp"
#include "demix/optim/sgd.hpp"
#include "demix/program/command_line.hpp"
#include "demix/program/run_program.hpp"

namespace demix::benchmarks {
namespace {

int run(int argc, char** argv) {
  using program::option::count;
  ModelConfig config = architecture("transformer_lm_gpt3_small");
  std::size_t sequences = 0, steps = 0;
  program::CommandLine line{"benchmark_training_step [options]",
                            "Times training steps of a dense gelu model.",
                            "benchmark_training_step --layers 12 --d-model 768 --heads 12"};
  line.options.add_options()("layers", count(config.layers, 1)->default_value(12), "blocks")(
      "d-model", count(config.d_model, 1)->default_value(768), "width")(
      "heads", count(config.heads, 1)->default_value(12), "attention heads")(
      "vocabulary", count(config.vocabulary, 1)->default_value(50257), "tokens of the dictionary")(
      "tokens-per-sample", count(config.tokens_per_sample, 1)->default_value(256), "length of a sequence")(
      "sequences", count(sequences, 1)->default_value(4), "sequences of a step")(
      "steps", count(steps, 1)->default_value(3), "steps to time");
  boost::program_options::variables_map values;
  if (!line.parse(argc, argv, values)) return 0;
  config.d_ffn = 4 * config.d_model;
  using Model = DenseModel<device::Cpu, Fp32, ops::Gelu>;
  device::Cpu cpu;
  Model model(cpu, config, {"all"}, Seed{1});
  auto gradients = model.make_gradients();
  optim::OptimizerState<device::Cpu, Fp32, optim::Adam> adam(cpu, {}, optim::whole_regions(gradients));
  LossTotals<device::Cpu> totals(cpu, 1);
  device::Array<device::Cpu, float> scratch(cpu);
  const Batch batch = random_batch(sequences, config.tokens_per_sample, config.vocabulary);
  const double tokens = static_cast<double>(batch.rows());

  std::uint64_t update = 0;
  double loss = 0;
  const auto gradient = [&] {
    gradients.fill_zero();
    totals.clear();
    model.accumulate_gradients(batch, {}, gradients, totals);
    loss = totals.losses()[0] / tokens;
  };
  const auto optimize = [&] {
    double square = 0, scale = 0;
    optim::accumulate_square_norms(cpu, gradients, adam.trained(), scratch, &square);
    optim::clip_scale(cpu, &tokens, 1, &square, 1, 0.1, &scale);
    adam.step(model.weights(), gradients, {++update, 1e-4, &scale});
  };
  // Before timing: a short step against the gradient g lowers the loss by its length times |g|. What the loss
  // is at first says nothing: with tied embeddings a narrow model starts far above a blind guess.
  {
    optim::OptimizerState<device::Cpu, Fp32, optim::Sgd> sgd(cpu, {0, 0}, adam.trained());
    gradient();
    const double before = loss, expected = 1e-3, scale = 1 / tokens;
    double square = 0;
    optim::accumulate_square_norms(cpu, gradients, sgd.trained(), scratch, &square);
    sgd.step(model.weights(), gradients, {1, expected * tokens * tokens / square, &scale});
    gradient();
    require(std::fabs(before - loss - expected) < 0.1 * expected, "a step that should lower the loss of ",
            before, " by ", expected, " leads to ", loss);
  }
  const double start = loss;
  optimize();
  double gradient_seconds = INFINITY, optimizer_seconds = INFINITY;
  for (std::size_t step = 0; step < steps; ++step) {
    gradient_seconds = std::min(gradient_seconds, fastest(1, gradient));
    optimizer_seconds = std::min(optimizer_seconds, fastest(1, optimize));
  }
  require(loss < start, "the loss does not fall: ", start, " at first, ", loss, " at last");

  // Each token meets each weight in three GEMMs (a table lookup is none), and half of the positions before
  // it.
  const double width = static_cast<double>(config.d_model), layers = static_cast<double>(config.layers);
  const double weights = layers * 12 * width * width + static_cast<double>(config.vocabulary) * width;
  const double attention = layers * 7 * static_cast<double>(config.tokens_per_sample) * width;
  const double seconds = gradient_seconds + optimizer_seconds;
  std::cout << "tokens/s " << tokens / seconds << "  GFLOP/s "
            << 1e-9 * tokens * (6 * weights + attention) / seconds << "  gemm GFLOP/s " << 1e-9 * gemm_peak()
            << "  (forward+backward " << gradient_seconds << " s, norm and Adam " << optimizer_seconds
            << " s a step)\n";
  return 0;
}

}  // namespace
}  // namespace demix::benchmarks

int main(int argc, char** argv) {
  return demix::program::run_program("benchmark_training_step",
                                     [&] { return demix::benchmarks::run(argc, argv); });
}
