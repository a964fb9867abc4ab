// Speed of causal attention on the CPU: 12 heads of width 64, 1024 tokens in sequences of T. GFLOP/s count
// the pairs of positions that see each other, so half of each tile on the diagonal is lost.
//
//   benchmark_attention

#include "axes.hpp"
#include "demix/ops/attention_cpu.hpp"

namespace demix::benchmarks {
namespace {

using Op = ops::Attention<device::Cpu>;

template <class T>
struct Attention {
  explicit Attention(const ops::AttentionShape& shape_)
      : shape(shape_),
        qkv(inputs<T>(shape.rows() * 3 * shape.width(), 1)),
        dqkv(qkv.size()),
        out(shape.rows() * shape.width()),
        dout(inputs<T>(out.size(), 2)),
        logsumexp(shape.rows() * shape.heads),
        scratch(cpu) {}

  void forward() { Op::forward<T>(cpu, shape, wide(qkv), narrow(out), lse(), scratch); }
  void backward() {
    Op::backward<T>(cpu, shape, narrow(dout), wide(qkv), narrow(out), lse(), wide(dqkv), scratch);
  }

  Matrix<T> wide(std::vector<T>& v) { return {v.data(), shape.rows(), 3 * shape.width()}; }
  Matrix<T> narrow(std::vector<T>& v) { return {v.data(), shape.rows(), shape.width()}; }
  Matrix<T> lse() { return {logsumexp.data(), shape.sequences * shape.heads, shape.sequence_length}; }

  ops::AttentionShape shape;
  std::vector<T> qkv, dqkv, out, dout, logsumexp;
  device::Cpu cpu;
  device::Array<device::Cpu, T> scratch;
};

/// One sequence and head, against double precision.
bool correct(std::size_t length) {
  Attention<float> single({1, length, 1, 64});
  Attention<double> exact({1, length, 1, 64});
  single.forward();
  exact.forward();
  single.backward();
  exact.backward();
  return relative_error(single.out, exact.out) < 1e-5 && relative_error(single.dqkv, exact.dqkv) < 1e-5;
}

/// `gemms`: matrix products over all pairs of positions, 2 forward and 5 backward.
template <int gemms>
void attention(benchmark::State& state) {
  const auto length = static_cast<std::size_t>(state.range(0));
  if (!correct(length)) {
    state.SkipWithError("wrong result");
    return;
  }
  Attention<float> timed({1024 / length, length, 12, 64});
  timed.forward();
  for (auto _ : state)
    if constexpr (gemms == 2)
      timed.forward();
    else
      timed.backward();
  const auto pairs = static_cast<double>(timed.shape.sequences * length * (length + 1) / 2);
  report_flops(state, gemms * 2 * pairs * static_cast<double>(timed.shape.width()));
}

constexpr int forward = 2, backward = 5;

BENCHMARK_TEMPLATE(attention, forward)
    ->ArgName("T")
    ->Arg(128)
    ->Arg(256)
    ->Arg(1024)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_TEMPLATE(attention, backward)
    ->ArgName("T")
    ->Arg(128)
    ->Arg(256)
    ->Arg(1024)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace demix::benchmarks

BENCHMARK_MAIN();
