// Attention on device::Cuda against Attention on device::Cpu in double: forward, from a cache, and backward,
// around the tiles and the compiled head sizes.
#include <tuple>

#include "demix/ops/attention.cuh"
#include "demix/ops/attention_cpu.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using ElementTypes = std::tuple<float, double>;

namespace {

template <class T>
using Results = std::vector<std::vector<T>>;

template <class T, class D>
Results<T> there_and_back(D& device, const ops::AttentionShape& shape) {
  const std::size_t rows = shape.rows(), width = shape.width();
  device::Array<D, T> qkv(device), dout(device), out(device), lse(device), dqkv(device), scratch(device);
  qkv.assign(cast<T>(random_values(rows * 3 * width, 1)));
  dout.assign(cast<T>(random_values(rows * width, 2)));
  out.assign(std::vector<T>(rows * width, T(NAN)));
  dqkv.assign(std::vector<T>(rows * 3 * width, T(NAN)));
  const auto logsumexp = lse.matrix(shape.sequences * shape.heads, shape.sequence_length);
  using Attention = ops::Attention<D>;
  Attention::template forward<T>(device, shape, qkv.matrix(rows, 3 * width), out.matrix(rows, width),
                                 logsumexp, scratch);
  Attention::template backward<T>(device, shape, dout.matrix(rows, width), qkv.matrix(rows, 3 * width),
                                  out.matrix(rows, width), logsumexp, dqkv.matrix(rows, 3 * width), scratch);
  return {out.to_host(), lse.to_host(), dqkv.to_host()};
}

template <class T, class D>
Results<T> cached(D& device, const ops::AttentionShape& shape, std::size_t capacity,
                  const std::vector<std::int32_t>& lengths) {
  const std::size_t rows = shape.rows(), width = shape.width();
  device::Array<D, T> qkv(device), keys_values(device), out(device), scratch(device);
  device::Array<D, std::int32_t> device_lengths(device);
  device_lengths.assign(lengths);
  qkv.assign(cast<T>(random_values(rows * 3 * width, 1)));
  keys_values.assign(cast<T>(random_values(shape.sequences * capacity * 2 * width, 3)));
  out.assign(std::vector<T>(rows * width, T(NAN)));
  const auto kv = keys_values.matrix(shape.sequences * capacity, 2 * width);
  ops::append_keys_values<D, T>(device, shape, qkv.matrix(rows, 3 * width), device_lengths.data(), kv);
  ops::Attention<D>::template forward_cached<T>(device, shape, qkv.matrix(rows, 3 * width), kv,
                                                device_lengths.data(), out.matrix(rows, width), scratch);
  return {out.to_host(), keys_values.to_host()};
}

template <class T>
void check_same(const Results<T>& cuda, const Results<double>& expected, const ops::AttentionShape& shape) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double error = relative_error(cuda[i], expected[i]);
    BOOST_TEST(error <= Tolerance<T>::attention, "T " << shape.sequence_length << ", head " << shape.head_dim
                                                      << ", result " << i << ": off by " << error
                                                      << ", allowed " << Tolerance<T>::attention);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_attention)

BOOST_AUTO_TEST_CASE_TEMPLATE(forward_and_backward, T, ElementTypes) {
  device::Cpu cpu;
  device::Cuda cuda;
  for (const ops::AttentionShape& shape : {ops::AttentionShape{1, 1, 1, 1},
                                           {2, 5, 3, 8},
                                           {1, 31, 2, 16},
                                           {1, 64, 1, 24},
                                           {1, 65, 1, 40},
                                           {1, 33, 1, 80},
                                           {1, 70, 1, 128}})
    check_same<T>(there_and_back<T>(cuda, shape), there_and_back<double>(cpu, shape), shape);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(from_a_cache, T, ElementTypes) {
  device::Cpu cpu;
  device::Cuda cuda;
  for (const auto& [rest, head_dim] : {std::pair<std::size_t, std::size_t>{1, 8}, {3, 64}, {40, 16}}) {
    const ops::AttentionShape shape{3, rest, 2, head_dim};
    const std::vector<std::int32_t> lengths{0, 30, 67};
    check_same<T>(cached<T>(cuda, shape, 110, lengths), cached<double>(cpu, shape, 110, lengths), shape);
  }
}

BOOST_AUTO_TEST_CASE(wrong_shapes_are_errors) {
  device::Cuda cuda;
  device::Array<device::Cuda, float> a(cuda, 1024), scratch(cuda);
  using Attention = ops::Attention<device::Cuda>;
  const ops::AttentionShape shape{2, 3, 2, 4};
  const auto forward = [&](std::size_t qkv_cols, std::size_t out_rows, std::size_t lse_rows) {
    Attention::forward<float>(cuda, shape, a.matrix(6, qkv_cols), a.matrix(out_rows, 8),
                              a.matrix(lse_rows, 3), scratch);
  };
  BOOST_CHECK_THROW(forward(23, 6, 4), Error);
  BOOST_CHECK_THROW(forward(24, 5, 4), Error);
  BOOST_CHECK_THROW(forward(24, 6, 3), Error);
  const ops::AttentionShape wide{1, 1, 1, 129};
  BOOST_CHECK_THROW(
      Attention::forward<float>(cuda, wide, a.matrix(1, 387), a.matrix(1, 129), a.matrix(1, 1), scratch),
      Error);
}

BOOST_AUTO_TEST_SUITE_END()
