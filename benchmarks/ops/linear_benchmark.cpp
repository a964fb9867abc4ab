// Speed of a dense layer's three GEMMs on the CPU, beside a large square GEMM.
//
//   benchmark_linear [--benchmark_filter=forward]

#include "axes.hpp"
#include "demix/ops/linear.hpp"

namespace demix::benchmarks {
namespace {

using device::Transpose;

/// The layers of a block of C = 768 with N = 1024 tokens, and the output projection.
void layers(benchmark::internal::Benchmark* b) {
  b->ArgNames({"N", "in", "out"})->UseRealTime()->Unit(benchmark::kMillisecond);
  b->Args({1024, 768, 768})->Args({1024, 768, 2304})->Args({1024, 768, 3072})->Args({1024, 3072, 768});
  b->Args({128, 768, 3072})->Args({256, 768, 50257});
}

/// op(a) op(b) = c at a few places, in double.
bool correct(Transpose ta, Matrix<const float> a, Transpose tb, Matrix<const float> b,
             Matrix<const float> c) {
  const std::size_t inner = ta == Transpose::yes ? a.rows : a.cols;
  for (std::size_t i = 0; i < c.rows; i += c.rows / 7)
    for (std::size_t j = 0; j < c.cols; j += c.cols / 7) {
      double sum = 0;
      for (std::size_t l = 0; l < inner; ++l)
        sum += static_cast<double>(ta == Transpose::yes ? a.row(l)[i] : a.row(i)[l]) *
               static_cast<double>(tb == Transpose::yes ? b.row(j)[l] : b.row(l)[j]);
      if (std::fabs(static_cast<double>(c.row(i)[j]) - sum) > 1e-5 * static_cast<double>(inner)) return false;
    }
  return true;
}

enum class Pass { forward, input, weight };

template <Pass pass>
void linear(benchmark::State& state) {
  const auto n = static_cast<std::size_t>(state.range(0)), in = static_cast<std::size_t>(state.range(1)),
             out = static_cast<std::size_t>(state.range(2));
  device::Cpu cpu;
  auto x_values = inputs<float>(n * in, 1), w_values = inputs<float>(out * in, 2),
       y_values = inputs<float>(n * out, 3);
  const Matrix<float> x(x_values.data(), n, in), w(w_values.data(), out, in), y(y_values.data(), n, out);
  const auto run = [&] {
    if constexpr (pass == Pass::forward) ops::linear(cpu, x, w, y);
    if constexpr (pass == Pass::input) ops::linear_backward_input(cpu, y, w, x);
    if constexpr (pass == Pass::weight) ops::linear_backward_weight<float>(cpu, y, x, w);
  };
  if (pass == Pass::weight) std::fill(w_values.begin(), w_values.end(), 0.0f);
  run();
  const bool ok = pass == Pass::forward ? correct(Transpose::no, x, Transpose::yes, w, y)
                  : pass == Pass::input ? correct(Transpose::no, y, Transpose::no, w, x)
                                        : correct(Transpose::yes, y, Transpose::no, x, w);
  if (!ok) {
    state.SkipWithError("wrong result");
    return;
  }
  for (auto _ : state) run();
  report_flops(state, 2.0 * static_cast<double>(n * in * out));
}

BENCHMARK_TEMPLATE(linear, Pass::forward)->Apply(layers);
BENCHMARK_TEMPLATE(linear, Pass::input)->Apply(layers);
BENCHMARK_TEMPLATE(linear, Pass::weight)->Apply(layers);

}  // namespace
}  // namespace demix::benchmarks

BENCHMARK_MAIN();
