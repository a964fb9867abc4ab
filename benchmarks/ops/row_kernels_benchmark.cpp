// Speed of the memory-bound ops on the CPU: GB/s of the least traffic an op must cause, beside a memcpy.
//
//   benchmark_row_kernels [--benchmark_filter=LayerNorm]
//
// Each op is first run in float and in double on the same inputs; it is timed when the results agree.

#include "axes.hpp"
#include "demix/device/array.hpp"
#include "demix/ops/activation.hpp"
#include "demix/ops/column_sum.hpp"
#include "demix/ops/dropout.hpp"
#include "demix/ops/embedding.hpp"
#include "demix/ops/layer_norm.hpp"
#include "demix/ops/reduce.hpp"
#include "demix/ops/softmax_cross_entropy.hpp"
#include "demix/optim/adam.hpp"

namespace demix::benchmarks {
namespace {

/// Matrices [N, C] and vectors that the cases work on.
template <class T>
struct Buffers {
  Buffers(std::size_t rows_, std::size_t cols_)
      : rows(rows_),
        cols(cols_),
        a(inputs<T>(rows * cols, 1)),
        b(inputs<T>(rows * cols, 2)),
        c(inputs<T>(rows * cols, 3)),
        gain(inputs<T>(cols, 4)),
        shift(cols),
        mean(rows),
        rstd(rows),
        scratch(cpu) {}

  Matrix<T> matrix(std::vector<T>& v) { return {v.data(), rows, cols}; }
  static Matrix<T> row(std::vector<T>& v) { return {v.data(), 1, v.size()}; }

  std::size_t rows, cols;
  std::vector<T> a, b, c, gain, shift, mean, rstd;
  device::Cpu cpu;
  device::Array<device::Cpu, T> scratch;
};

// A case: bytes per element of the matrix, run(), and what run() computed.

template <class T>
struct LayerNormForward : Buffers<T> {
  static constexpr double bytes = 8;
  using Buffers<T>::Buffers;
  void run() {
    ops::layer_norm(this->cpu, this->matrix(this->a), this->row(this->gain), this->row(this->shift), T(1e-5),
                    this->matrix(this->c), this->row(this->mean), this->row(this->rstd));
  }
  const std::vector<T>& result() { return this->c; }
};

template <class T>
struct LayerNormBackward : LayerNormForward<T> {
  static constexpr double bytes = 16;
  LayerNormBackward(std::size_t height, std::size_t width)
      : LayerNormForward<T>(height, width), dgain(width), dshift(width) {
    LayerNormForward<T>::run();
  }
  void run() {
    ops::layer_norm_backward_accumulate(
        this->cpu, this->matrix(this->b), this->matrix(this->a), this->row(this->gain), this->row(this->mean),
        this->row(this->rstd), this->matrix(this->c), this->row(dgain), this->row(dshift), this->scratch);
  }
  std::vector<T> dgain, dshift;
};

template <class T, ops::Activation A>
struct BiasActivation : Buffers<T> {
  static constexpr double bytes = 12;
  using Buffers<T>::Buffers;
  void run() {
    ops::bias_activation<A>(this->cpu, this->matrix(this->a), this->row(this->shift), this->matrix(this->c));
  }
  const std::vector<T>& result() { return this->c; }
};
template <class T>
using BiasRelu = BiasActivation<T, ops::Relu>;
template <class T>
using BiasGelu = BiasActivation<T, ops::Gelu>;
template <class T>
using BiasGeluTanh = BiasActivation<T, ops::GeluTanh>;

template <class T>
struct GeluBackward : Buffers<T> {
  static constexpr double bytes = 12;
  using Buffers<T>::Buffers;
  void run() { ops::activation_backward<ops::Gelu>(this->cpu, this->matrix(this->a), this->matrix(this->b)); }
  const std::vector<T>& result() { return this->b; }
};

template <class T>
struct CrossEntropy : Buffers<T> {
  static constexpr double bytes = 8;
  CrossEntropy(std::size_t height, std::size_t width) : Buffers<T>(height, width), targets(height, 7) {}
  void run() {
    ops::cross_entropy_with_gradient(this->cpu, this->matrix(this->a), targets.data(), this->row(this->mean));
  }
  const std::vector<T>& result() { return this->a; }
  std::vector<Token> targets;
};

template <class T>
struct Residual : Buffers<T> {
  static constexpr double bytes = 12;
  using Buffers<T>::Buffers;
  void run() {
    ops::dropout_residual(this->cpu, this->matrix(this->a), this->matrix(this->b), {}, this->matrix(this->c));
  }
  const std::vector<T>& result() { return this->c; }
};

template <class T>
struct DropoutResidual : Residual<T> {
  using Residual<T>::Residual;
  void run() {
    ops::dropout_residual(this->cpu, this->matrix(this->a), this->matrix(this->b), {0.1f, Seed{1}, 1, 1},
                          this->matrix(this->c));
  }
};

template <class T>
struct Embedding : Buffers<T> {
  static constexpr double bytes = 8;
  Embedding(std::size_t height, std::size_t width) : Buffers<T>(height, width), tokens(height) {
    for (std::size_t r = 0; r < height; ++r) tokens[r] = static_cast<Token>(r * 77 % height);
  }
  void run() {
    ops::embedding(this->cpu, tokens.data(), this->matrix(this->a), this->matrix(this->b), 256, T(3),
                   this->matrix(this->c));
  }
  const std::vector<T>& result() { return this->c; }
  std::vector<Token> tokens;
};

template <class T>
struct BiasBackward : Buffers<T> {
  static constexpr double bytes = 4;
  using Buffers<T>::Buffers;
  void run() {
    ops::bias_backward<T>(this->cpu, this->matrix(this->a), this->row(this->shift), this->scratch);
  }
  const std::vector<T>& result() { return this->shift; }
};

template <class T>
struct SumOfSquares : Buffers<T> {
  static constexpr double bytes = 4;
  using Buffers<T>::Buffers;
  void run() {
    double sum = 0;
    ops::accumulate_sum_of_squares(this->cpu, std::span<const T>(this->a), this->scratch, &sum);
    this->shift[0] = static_cast<T>(sum);
  }
  const std::vector<T>& result() { return this->shift; }
};

template <class T>
struct AdamStep : Buffers<T> {
  static constexpr double bytes = 28;
  AdamStep(std::size_t height, std::size_t width) : Buffers<T>(height, width), v(height * width) {}
  void run() {
    const std::size_t n = this->a.size();
    this->cpu.rows(ceil_div(n, optim::adam_chunk),
                   optim::AdamUpdate<T, T>{this->c.data(), this->a.data(), this->b.data(), v.data(), n,
                                           T(0.1), T(0.05), T(1e-7), T(1e-4), T(5e-4), T(1), &scale});
  }
  const std::vector<T>& result() { return this->c; }
  std::vector<T> v;
  double scale = 1;
};

template <template <class> class Case>
void row_kernel(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)), cols = static_cast<std::size_t>(state.range(1));
  Case<float> timed(rows, cols);
  timed.run();
  {
    Case<double> exact(rows, cols);
    exact.run();
    if (const double error = relative_error(timed.result(), exact.result()); !(error < 2e-5)) {
      state.SkipWithError(concat("wrong result: relative error ", error).c_str());
      return;
    }
  }
  for (auto _ : state) timed.run();
  report_bytes(state, Case<float>::bytes * static_cast<double>(rows * cols));
}

BENCHMARK_TEMPLATE(row_kernel, LayerNormForward)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, LayerNormBackward)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, BiasRelu)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, BiasGelu)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, BiasGeluTanh)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, GeluBackward)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, CrossEntropy)->Apply(rows_by_columns)->Args({256, 50257});
BENCHMARK_TEMPLATE(row_kernel, Residual)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, DropoutResidual)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, Embedding)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, BiasBackward)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, SumOfSquares)->Apply(rows_by_columns);
BENCHMARK_TEMPLATE(row_kernel, AdamStep)->Apply(rows_by_columns);

}  // namespace
}  // namespace demix::benchmarks

BENCHMARK_MAIN();
