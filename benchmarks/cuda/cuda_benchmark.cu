// The kernels and a training step of device::Cuda on the first GPU, each beside the GPU's own limits of the
// same run.
//
//   benchmark_cuda
//
// prints the bandwidth of a copy and the rate of cuBLAS's sgemm, the memory-bound kernels as shares of the
// one, attention and a training step (12 x 768, 4 sequences of 1024) as shares of the other. Exits with 77
// where there is no GPU.

#include <algorithm>
#include <cstdio>
#include <vector>

#include "batches.hpp"
#include "demix/model/experiments.hpp"
#include "demix/ops/attention.cuh"
#include "demix/optim/adam.hpp"
#include "demix/optim/gradient_norm.hpp"

namespace demix::benchmarks {
namespace {

using device::Cuda;
template <class T>
using Array = device::Array<Cuda, T>;

/// Median seconds of a call, by CUDA events.
template <class F>
double seconds_of(Cuda& device, F f, int tries = 11) {
  cudaEvent_t begin, end;
  DEMIX_CUDA_TRY(cudaEventCreate(&begin));
  DEMIX_CUDA_TRY(cudaEventCreate(&end));
  for (int i = 0; i < 2; ++i) f();
  std::vector<float> times;
  for (int i = 0; i < tries; ++i) {
    DEMIX_CUDA_TRY(cudaEventRecord(begin, device.stream()));
    f();
    DEMIX_CUDA_TRY(cudaEventRecord(end, device.stream()));
    DEMIX_CUDA_TRY(cudaEventSynchronize(end));
    float milliseconds = 0;
    DEMIX_CUDA_TRY(cudaEventElapsedTime(&milliseconds, begin, end));
    times.push_back(milliseconds);
  }
  DEMIX_CUDA_TRY(cudaEventDestroy(begin));
  DEMIX_CUDA_TRY(cudaEventDestroy(end));
  std::nth_element(times.begin(), times.begin() + tries / 2, times.end());
  return 1e-3 * static_cast<double>(times[static_cast<std::size_t>(tries / 2)]);
}

Array<float> random_array(Cuda& device, std::size_t n, std::uint32_t seed) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i)
    values[i] = static_cast<float>(static_cast<double>((i * 2654435761u + seed) % 1000003) / 500001.5 - 1);
  Array<float> array(device);
  array.assign(values);
  return array;
}

class Report {
 public:
  Report(double bandwidth, double flops) : bandwidth_(bandwidth), flops_(flops) {}
  void bytes(const char* what, double seconds, double bytes) const {
    std::printf("%-44s %9.1f us %8.0f GB/s %6.1f %% of the copy\n", what, 1e6 * seconds,
                1e-9 * bytes / seconds, 100 * bytes / seconds / bandwidth_);
  }
  void flops(const char* what, double seconds, double flops) const {
    std::printf("%-44s %9.1f us %8.2f TFLOP/s %6.1f %% of sgemm\n", what, 1e6 * seconds,
                1e-12 * flops / seconds, 100 * flops / seconds / flops_);
  }

 private:
  double bandwidth_, flops_;
};

double copy_bandwidth(Cuda& device) {
  const std::size_t n = std::size_t{1} << 28;
  Array<float> a(device, n), b(device, n);
  a.fill_zero();
  return 8.0 * static_cast<double>(n) / seconds_of(device, [&] { device.copy(b.data(), a.data(), n); });
}

double sgemm_rate(Cuda& device) {
  const std::size_t n = 8192;
  auto a = random_array(device, n * n, 1), b = random_array(device, n * n, 2);
  Array<float> c(device, n * n);
  const auto seconds = seconds_of(
      device, [&] { ops::linear(device, a.matrix(n, n), b.matrix(n, n), c.matrix(n, n)); }, 5);
  return 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n) / seconds;
}

void row_kernels(Cuda& device, const Report& report, std::size_t rows, std::size_t cols) {
  const double size = 4.0 * static_cast<double>(rows * cols);
  auto x = random_array(device, rows * cols, 1), dy = random_array(device, rows * cols, 2),
       dx = random_array(device, rows * cols, 3), y = random_array(device, rows * cols, 4),
       gamma = random_array(device, cols, 5), beta = random_array(device, cols, 6);
  Array<float> mean(device, rows), rstd(device, rows), dgamma(device, cols), dbeta(device, cols),
      scratch(device);
  dgamma.fill_zero();
  dbeta.fill_zero();
  const auto m = [&](Array<float>& a) { return a.matrix(rows, cols); };
  const auto v = [&](Array<float>& a) { return a.matrix(1, cols); };
  std::printf("N = %zu, C = %zu\n", rows, cols);
  report.bytes("layer_norm",
               seconds_of(device,
                          [&] {
                            ops::layer_norm(device, m(x), v(gamma), v(beta), 1e-5, m(y), mean.matrix(1, rows),
                                            rstd.matrix(1, rows));
                          }),
               2 * size);
  report.bytes("layer_norm backward (dx, dgamma, dbeta)",
               seconds_of(device,
                          [&] {
                            ops::layer_norm_backward_accumulate(device, m(dy), m(x), v(gamma),
                                                                mean.matrix(1, rows), rstd.matrix(1, rows),
                                                                m(dx), v(dgamma), v(dbeta), scratch);
                          }),
               4 * size);
  report.bytes("bias gradient (column sums)",
               seconds_of(device, [&] { ops::bias_backward<float>(device, m(dy), v(dbeta), scratch); }),
               size);
  report.bytes("bias + relu",
               seconds_of(device, [&] { ops::bias_activation<ops::Relu>(device, m(x), v(beta), m(y)); }),
               3 * size);
  report.bytes("bias + gelu",
               seconds_of(device, [&] { ops::bias_activation<ops::Gelu>(device, m(x), v(beta), m(y)); }),
               3 * size);
  report.bytes("gelu backward",
               seconds_of(device, [&] { ops::activation_backward<ops::Gelu>(device, m(x), m(dy)); }),
               3 * size);
  report.bytes("residual without dropout",
               seconds_of(device, [&] { ops::dropout_residual(device, m(x), m(dy), {}, m(y)); }), 3 * size);
  report.bytes("residual with dropout",
               seconds_of(device,
                          [&] {
                            ops::dropout_residual(device, m(x), m(dy), {0.1f, Seed{1}, 1, 1}, m(y));
                          }),
               3 * size);
}

void other_kernels(Cuda& device, const Report& report) {
  const std::size_t rows = 4096, vocabulary = 50257, cols = 768;
  auto logits = random_array(device, rows * vocabulary, 1);
  std::vector<Token> tokens(rows);
  // As in text: half of the tokens are a few common ones.
  for (std::size_t r = 0; r < rows; ++r)
    tokens[r] = static_cast<Token>(r % 2 ? 5 + r % 8 / 4 : 5 + r * 7919 % (vocabulary - 5));
  Array<Token> targets(device);
  targets.assign(tokens);
  Array<float> losses(device, rows);
  const double size = 4.0 * static_cast<double>(rows * vocabulary);
  std::printf("N = %zu, V = %zu\n", rows, vocabulary);
  report.bytes("cross-entropy",
               seconds_of(device,
                          [&] {
                            ops::cross_entropy(device, logits.matrix(rows, vocabulary), targets.data(),
                                               losses.matrix(1, rows));
                          }),
               size);
  report.bytes("cross-entropy with gradient",
               seconds_of(device,
                          [&] {
                            ops::cross_entropy_with_gradient(device, logits.matrix(rows, vocabulary),
                                                             targets.data(), losses.matrix(1, rows));
                          }),
               2 * size);
  auto table = random_array(device, vocabulary * cols, 1), positions = random_array(device, 1026 * cols, 2),
       x = random_array(device, rows * cols, 3);
  std::vector<std::int32_t> rows_by_token(rows), firsts(rows + 1);
  std::vector<Token> group_tokens(rows);
  const std::size_t groups = ops::group_tokens(tokens, rows_by_token, group_tokens, firsts);
  Array<std::int32_t> device_rows(device), device_firsts(device);
  Array<Token> device_groups(device);
  device_rows.assign(rows_by_token);
  device_firsts.assign(firsts);
  device_groups.assign(group_tokens);
  const ops::TokenGroups token_groups{groups, device_groups.data(), device_firsts.data(), device_rows.data()};
  const double width = 4.0 * static_cast<double>(rows * cols);
  report.bytes("embedding",
               seconds_of(device,
                          [&] {
                            ops::embedding(device, targets.data(), table.matrix(vocabulary, cols),
                                           positions.matrix(1026, cols), 1024, 27.7f, x.matrix(rows, cols));
                          }),
               3 * width);
  report.bytes("embedding backward, a quarter of the rows one token",
               seconds_of(device,
                          [&] {
                            ops::embedding_backward<float>(device, token_groups, x.matrix(rows, cols), 27.7f,
                                                           table.matrix(vocabulary, cols));
                          }),
               3 * width);
  const std::size_t parameters = std::size_t{1} << 27;
  auto w = random_array(device, parameters, 1), g = random_array(device, parameters, 2);
  Array<float> am(device, parameters), av(device, parameters), scratch(device);
  Array<double> numbers(device);
  am.fill_zero();
  av.fill_zero();
  numbers.assign(std::vector<double>{1, 0});
  report.bytes("Adam",
               seconds_of(device,
                          [&] {
                            optim::Adam::step(
                                device, {}, {1, 1e-4, numbers.data()},
                                optim::OptimizerSpan<float, float, 2>{
                                    {w.data(), parameters},
                                    {g.data(), parameters},
                                    {std::span(am.data(), parameters), std::span(av.data(), parameters)}});
                          }),
               28.0 * static_cast<double>(parameters));
  report.bytes("sum of squares",
               seconds_of(device,
                          [&] {
                            ops::accumulate_sum_of_squares(device,
                                                           std::span<const float>(g.data(), parameters),
                                                           scratch, numbers.data() + 1);
                          }),
               4.0 * static_cast<double>(parameters));
}

void attention(Cuda& device, const Report& report) {
  for (const auto& [length, head_dim] :
       {std::pair<std::size_t, std::size_t>{1024, 64}, {1024, 128}, {2048, 64}}) {
    const ops::AttentionShape shape{4, length, 768 / head_dim, head_dim};
    const std::size_t rows = shape.rows(), width = shape.width();
    auto qkv = random_array(device, rows * 3 * width, 1), dout = random_array(device, rows * width, 2);
    Array<float> out(device), lse(device), dqkv(device), scratch(device);
    const auto logsumexp = lse.matrix(shape.sequences * shape.heads, length);
    using Attention = ops::Attention<Cuda>;
    // A product over the causal half: 2 T^2 / 2 d per head.
    const double product = static_cast<double>(shape.sequences * shape.heads * length * length * head_dim);
    std::printf("4 sequences of %zu, heads of %zu, C = %zu\n", length, head_dim, width);
    report.flops("attention",
                 seconds_of(device,
                            [&] {
                              Attention::forward<float>(device, shape, qkv.matrix(rows, 3 * width),
                                                        out.matrix(rows, width), logsumexp, scratch);
                            }),
                 2 * product);
    report.flops("attention backward (of 5 products)",
                 seconds_of(device,
                            [&] {
                              Attention::backward<float>(device, shape, dout.matrix(rows, width),
                                                         qkv.matrix(rows, 3 * width), out.matrix(rows, width),
                                                         logsumexp, dqkv.matrix(rows, 3 * width), scratch);
                            }),
                 5 * product);
  }
}

template <template <class, class, class> class Model>
void training_step(Cuda& device, const char* what, std::size_t domains, std::size_t sequences) {
  ModelConfig config = architecture("transformer_lm_gpt3_small");
  config.vocabulary = 50257;
  std::vector<std::string> names;
  for (std::size_t d = 0; d < domains; ++d) names.push_back("domain" + std::to_string(d));
  Model<Cuda, Fp32, ops::Gelu> model(device, config, names, Seed{1});
  auto gradients = model.make_gradients();
  optim::OptimizerState<Cuda, Fp32, optim::Adam> adam(device, {}, optim::whole_regions(gradients));
  LossTotals<Cuda> totals(device, domains);
  Array<float> scratch(device);
  Array<double> numbers(device, domains + 2 + domains);
  Batch batch = random_batch(sequences, config.tokens_per_sample, config.vocabulary);
  batch.segments.clear();
  for (std::size_t d = 0; d < domains; ++d)
    batch.segments.push_back(
        {DomainId(static_cast<int>(d)), d * sequences / domains, (d + 1) * sequences / domains});
  std::vector<double> counts(numbers.size(), 0.0);
  for (std::size_t d = 0; d < domains; ++d)
    counts[d] = static_cast<double>(batch.rows()) / static_cast<double>(domains);
  Array<double> start(device);
  start.assign(counts);
  std::uint64_t update = 0;
  const auto pass = [&] {
    gradients.fill_zero();
    totals.clear();
    model.accumulate_gradients(batch, {}, gradients, totals);
  };
  const auto optimize = [&] {
    device.copy(numbers.data(), start.data(), start.size());
    double *squares = numbers.data() + domains, *scale = squares + 1 + domains;
    optim::accumulate_square_norms(device, gradients, adam.trained(), scratch, squares);
    optim::clip_scale(device, numbers.data(), domains, squares, 1 + domains, 0.1, scale);
    adam.step(model.weights(), gradients, {++update, 1e-4, scale});
  };
  const auto loss = [&] {
    std::vector<double> sums(domains);
    device.copy_to_host(sums.data(), totals.losses(), domains);
    double sum = 0;
    for (const double each : sums) sum += each;
    return sum / static_cast<double>(batch.rows());
  };
  pass();
  const double first = loss();
  const double forward_backward = seconds_of(device, pass, 7);
  const double whole = seconds_of(
      device, [&] { pass(), optimize(); }, 7);
  const double last = loss(), tokens = static_cast<double>(batch.rows());
  require(last < first, "the loss does not fall: ", first, " at first, ", last, " at last");
  const double width = 768, weights = 12 * 12 * width * width + 50257 * width,
               attention_flops = 12 * 7 * static_cast<double>(config.tokens_per_sample) * width;
  std::printf(
      "%-24s %zu x 1024 tokens: %8.0f tokens/s, forward and backward %.1f ms, norm and Adam %.1f ms, %.1f "
      "TFLOP/s\n",
      what, sequences, tokens / whole, 1e3 * forward_backward, 1e3 * (whole - forward_backward),
      1e-12 * tokens * (6 * weights + attention_flops) / whole);
}

int run() {
  if (Cuda::count() == 0) {
    std::printf("skipped: no CUDA device\n");
    return 77;
  }
  Cuda device;
  cudaDeviceProp properties;
  DEMIX_CUDA_TRY(cudaGetDeviceProperties(&properties, 0));
  const double bandwidth = copy_bandwidth(device), rate = sgemm_rate(device);
  std::printf("%s: copy %.0f GB/s (bytes read and written), sgemm %.1f TFLOP/s\n", properties.name,
              1e-9 * bandwidth, 1e-12 * rate);
  const Report report(bandwidth, rate);
  for (const std::size_t cols : {768u, 1024u, 3072u}) row_kernels(device, report, 16384, cols);
  other_kernels(device, report);
  attention(device, report);
  training_step<DenseModel>(device, "dense", 1, 4);
  training_step<DenseModel>(device, "dense", 1, 16);
  training_step<DEMixModel>(device, "demix, 8 domains", 8, 16);
  return 0;
}

}  // namespace
}  // namespace demix::benchmarks

int main() {
  try {
    return demix::benchmarks::run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "benchmark_cuda: %s\n", error.what());
    return 1;
  }
}
