// Every row kernel of ops/ on device::Cuda against the same call on device::Cpu: one source, so what differs
// is the team, the order of sums, and which products the compiler fuses.
#include <tuple>

#include "demix/device/cuda.cuh"
#include "demix/ops/activation.hpp"
#include "demix/ops/cast.hpp"
#include "demix/ops/dropout.hpp"
#include "demix/ops/embedding.hpp"
#include "demix/ops/layer_norm.hpp"
#include "demix/ops/load_balance.hpp"
#include "demix/ops/reduce.hpp"
#include "demix/ops/segment_sum.hpp"
#include "demix/ops/softmax_cross_entropy.hpp"
#include "demix/ops/top_k_routing.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

using ElementTypes = std::tuple<float, double>;

struct RowShape {
  std::size_t rows, cols;
};
/// Narrower than a warp, than a block, around a block's 256 threads, several rounds of a block; more rows
/// than the 32 of a chunk of column sums.
constexpr RowShape shapes[] = {{1, 1}, {5, 31}, {4, 256}, {3, 257}, {16, 300}, {2, 700}, {70, 5}};

/// What an operation leaves in memory.
template <class T>
using Results = std::vector<std::vector<T>>;

template <class D, class T>
device::Array<D, T> upload(D& device, const std::vector<T>& values) {
  device::Array<D, T> array(device);
  array.assign(values);
  return array;
}

struct Devices {
  device::Cpu cpu;
  device::Cuda cuda;
};

/// Runs the operation on both devices and compares every array that it returns.
template <class Operation>
void check_same(Devices& devices, const char* what, RowShape shape, double tolerance,
                const Operation& operation) {
  const auto expected = operation(devices.cpu), actual = operation(devices.cuda);
  BOOST_REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double error = relative_error(actual[i], expected[i]);
    BOOST_TEST(error <= tolerance, what << " [" << shape.rows << ", " << shape.cols << "], result " << i
                                        << ": CUDA differs from the CPU by " << error << ", allowed "
                                        << tolerance);
  }
}

template <ops::Activation A, class T>
void check_activation() {
  Devices devices;
  for (const RowShape s : shapes) {
    const auto pre = cast<T>(random_values(s.rows * s.cols, 1)), bias = cast<T>(random_values(s.cols, 2)),
               gradient = cast<T>(random_values(s.rows * s.cols, 3));
    check_same(devices, A::name, s, Tolerance<T>::elementwise, [&](auto& device) {
      auto z = upload(device, pre), b = upload(device, bias), dy = upload(device, gradient);
      auto y = upload(device, std::vector<T>(pre.size(), T(NAN)));
      const Matrix<T> z_view = z.matrix(s.rows, s.cols);
      ops::bias_activation<A>(device, z_view, b.matrix(1, s.cols), y.matrix(s.rows, s.cols));
      ops::activation_backward<A>(device, z_view, dy.matrix(s.rows, s.cols));
      return Results<T>{z.to_host(), y.to_host(), dy.to_host()};
    });
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_ops)

BOOST_AUTO_TEST_CASE_TEMPLATE(layer_norm, T, ElementTypes) {
  Devices devices;
  for (const RowShape s : shapes) {
    const auto x0 = cast<T>(random_values(s.rows * s.cols, 1)),
               dy0 = cast<T>(random_values(s.rows * s.cols, 2)),
               dx0 = cast<T>(random_values(s.rows * s.cols, 3)), gamma0 = cast<T>(random_values(s.cols, 4)),
               beta0 = cast<T>(random_values(s.cols, 5));
    check_same(devices, "layer_norm", s, Tolerance<T>::reduction, [&](auto& device) {
      auto x = upload(device, x0), dy = upload(device, dy0), dx = upload(device, dx0),
           gamma = upload(device, gamma0), beta = upload(device, beta0),
           y = upload(device, std::vector<T>(x0.size(), T(NAN))),
           mean = upload(device, std::vector<T>(s.rows, T(NAN))),
           rstd = upload(device, std::vector<T>(s.rows, T(NAN))), dgamma = upload(device, beta0),
           dbeta = upload(device, gamma0), scratch = upload(device, std::vector<T>{});
      const auto large = [&](auto& array) { return array.matrix(s.rows, s.cols); };
      const auto row = [&](auto& array) { return array.matrix(1, s.cols); };
      ops::layer_norm(device, large(x), row(gamma), row(beta), T(1e-5), large(y), mean.matrix(1, s.rows),
                      rstd.matrix(1, s.rows));
      ops::layer_norm_backward_accumulate(device, large(dy), large(x), row(gamma), mean.matrix(1, s.rows),
                                          rstd.matrix(1, s.rows), large(dx), row(dgamma), row(dbeta),
                                          scratch);
      return Results<T>{y.to_host(), rstd.to_host(), dx.to_host(), dgamma.to_host(), dbeta.to_host()};
    });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(relu, T, ElementTypes) { check_activation<ops::Relu, T>(); }
BOOST_AUTO_TEST_CASE_TEMPLATE(gelu, T, ElementTypes) { check_activation<ops::Gelu, T>(); }
BOOST_AUTO_TEST_CASE_TEMPLATE(gelu_tanh, T, ElementTypes) { check_activation<ops::GeluTanh, T>(); }

BOOST_AUTO_TEST_CASE_TEMPLATE(dropout_and_residual, T, ElementTypes) {
  Devices devices;
  for (const RowShape s : shapes)
    for (const float probability : {0.0f, 0.3f}) {
      const ops::Dropout dropout{probability, Seed{77}, 5, 3};
      const auto branch0 = cast<T>(random_values(s.rows * s.cols, 1)),
                 residual0 = cast<T>(random_values(s.rows * s.cols, 2));
      // The masks must be the same to the last bit; with a residual the product may be fused.
      for (const bool with_residual : {false, true})
        check_same(devices, "dropout", s, with_residual ? Tolerance<T>::elementwise : 0, [&](auto& device) {
          auto branch = upload(device, branch0), residual = upload(device, residual0),
               y = upload(device, std::vector<T>(branch0.size(), T(NAN)));
          const Matrix<T> out = y.matrix(s.rows, s.cols);
          if (with_residual)
            ops::dropout_residual(device, branch.matrix(s.rows, s.cols), residual.matrix(s.rows, s.cols),
                                  dropout, out);
          else
            ops::dropout_scale(device, branch.matrix(s.rows, s.cols), dropout, out);
          return Results<T>{y.to_host()};
        });
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(bias_on_a_strided_view, T, ElementTypes) {
  Devices devices;
  for (const RowShape s : shapes) {
    const std::size_t stride = s.cols + 3;
    const auto y0 = cast<T>(random_values(s.rows * stride, 1)), bias0 = cast<T>(random_values(s.cols, 2));
    check_same(devices, "bias", s, Tolerance<T>::reduction, [&](auto& device) {
      auto y = upload(device, y0), bias = upload(device, bias0), dbias = upload(device, bias0),
           scratch = upload(device, std::vector<T>{});
      const Matrix<T> view(y.data(), s.rows, s.cols, stride);
      ops::bias_add(device, bias.matrix(1, s.cols), view);
      ops::bias_backward<T>(device, view, dbias.matrix(1, s.cols), scratch);
      return Results<T>{y.to_host(), dbias.to_host()};
    });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(embedding, T, ElementTypes) {
  Devices devices;
  const std::size_t sequences = 3, length = 5, vocabulary = 7, rows = sequences * length;
  // Some tokens several times, one of them often, the padding token in between.
  const std::vector<Token> tokens{4, 4, 6, 1, 0, 4, 2, 1, 1, 4, 6, 4, 3, 4, 4};
  for (const std::size_t cols : {3u, 300u}) {
    const auto table0 = cast<T>(random_values(vocabulary * cols, 1)),
               positions0 = cast<T>(random_values((length + ops::position_offset) * cols, 2)),
               dx0 = cast<T>(random_values(rows * cols, 3));
    check_same(devices, "embedding", {rows, cols}, Tolerance<T>::elementwise, [&](auto& device) {
      auto table = upload(device, table0), positions = upload(device, positions0), dx = upload(device, dx0),
           dtable = upload(device, table0), dpositions = upload(device, positions0),
           x = upload(device, std::vector<T>(rows * cols, T(NAN)));
      auto device_tokens = upload(device, tokens);
      std::vector<std::int32_t> rows_by_token(rows), firsts(rows + 1);
      std::vector<Token> group_tokens(rows);
      const std::size_t count = ops::group_tokens(tokens, rows_by_token, group_tokens, firsts);
      auto device_rows = upload(device, rows_by_token), device_firsts = upload(device, firsts);
      auto device_groups = upload(device, group_tokens);
      const ops::TokenGroups groups{count, device_groups.data(), device_firsts.data(), device_rows.data()};
      const std::size_t position_rows = length + ops::position_offset;
      ops::embedding(device, device_tokens.data(), table.matrix(vocabulary, cols),
                     positions.matrix(position_rows, cols), length, T(1.7), x.matrix(rows, cols));
      ops::embedding_backward<T>(device, groups, dx.matrix(rows, cols), T(1.7),
                                 dtable.matrix(vocabulary, cols));
      ops::position_backward<T>(device, dx.matrix(rows, cols), length,
                                dpositions.matrix(position_rows, cols));
      return Results<T>{x.to_host(), dtable.to_host(), dpositions.to_host()};
    });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(cross_entropy, T, ElementTypes) {
  Devices devices;
  for (const RowShape s : shapes)
    for (const double magnitude : {3.0, 1e4}) {
      auto logits0 = cast<T>(random_values(s.rows * s.cols, 1));
      for (T& z : logits0) z *= static_cast<T>(magnitude);
      std::vector<Token> targets0(s.rows);
      for (std::size_t r = 0; r < s.rows; ++r) targets0[r] = static_cast<Token>(r * 37 % s.cols);
      if (s.rows > 2) targets0[1] = pad_token;
      // fast_exp of a float has 3e-7, and the logarithm of a sum near 1 makes that an error of the loss.
      check_same(devices, "cross_entropy", s, Tolerance<T>::reduction, [&](auto& device) {
        auto logits = upload(device, logits0), losses = upload(device, std::vector<T>(s.rows, T(NAN))),
             losses_alone = upload(device, std::vector<T>(s.rows, T(NAN)));
        auto targets = upload(device, targets0);
        const Matrix<T> z = logits.matrix(s.rows, s.cols);
        ops::cross_entropy(device, z, targets.data(), losses_alone.matrix(1, s.rows));
        ops::cross_entropy_with_gradient(device, z, targets.data(), losses.matrix(1, s.rows));
        return Results<T>{losses_alone.to_host(), losses.to_host(), logits.to_host()};
      });
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(sum_of_squares, T, ElementTypes) {
  Devices devices;
  for (const std::size_t n :
       {std::size_t{1}, std::size_t{300}, ops::reduce_chunk, 2 * ops::reduce_chunk + 7}) {
    const auto x0 = cast<T>(random_values(n, 1));
    check_same(devices, "sum_of_squares", {1, n}, Tolerance<T>::reduction, [&](auto& device) {
      auto x = upload(device, x0), scratch = upload(device, std::vector<T>{});
      auto sum = upload(device, std::vector<double>{0.5});
      ops::accumulate_sum_of_squares(device, std::span<const T>(x.data(), n), scratch, sum.data());
      return Results<double>{sum.to_host()};
    });
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(segment_sums, T, ElementTypes) {
  Devices devices;
  const auto x0 = cast<T>(random_values(1000, 1));
  const std::vector<std::int32_t> segments0{2, 0, 300, 0, 300, 300, 2, 300, 301, 1, 301, 1000};
  check_same(devices, "segment_sum", {1, 1000}, 1e-13, [&](auto& device) {
    auto x = upload(device, x0);
    auto segments = upload(device, segments0);
    auto sums = upload(device, std::vector<double>{1, 2, 3});
    ops::segment_sum_accumulate(device, x.data(), segments.data(), 4, sums.data());
    return Results<double>{sums.to_host()};
  });
}

BOOST_AUTO_TEST_CASE_TEMPLATE(softmax_rows, T, ElementTypes) {
  Devices devices;
  for (const RowShape s : shapes) {
    const auto x0 = cast<T>(random_values(s.rows * s.cols, 1)),
               dy0 = cast<T>(random_values(s.rows * s.cols, 2));
    check_same(devices, "softmax", s, Tolerance<T>::reduction, [&](auto& device) {
      auto x = upload(device, x0), dy = upload(device, dy0),
           y = upload(device, std::vector<T>(x0.size(), T(NAN)));
      const Matrix<T> out = y.matrix(s.rows, s.cols), d = dy.matrix(s.rows, s.cols);
      ops::softmax(device, x.matrix(s.rows, s.cols), out);
      ops::softmax_backward(device, out, d, d);
      ops::softmax_backward(device, out, Matrix<const T>(dy.data(), s.rows, s.cols, 0),
                            x.matrix(s.rows, s.cols));
      return Results<T>{y.to_host(), dy.to_host(), x.to_host()};
    });
  }
}

BOOST_AUTO_TEST_CASE(groups_of_rows) {
  Devices devices;
  for (const std::size_t n : {1u, 511u, 513u, 3000u})
    for (const std::size_t groups : {1u, 8u, 700u}) {
      std::vector<std::int32_t> index0(n);
      for (std::size_t i = 0; i < n; ++i) index0[i] = static_cast<std::int32_t>(i * i * 7 % groups);
      index0[n / 2] = -1;
      check_same(devices, "row_groups", {n, groups}, 0, [&](auto& device) {
        auto index = upload(device, index0);
        ops::RowGroups<std::decay_t<decltype(device)>> sorted(device);
        sorted.assign(index.data(), n, groups);
        Results<std::int32_t> results{std::vector<std::int32_t>(n), std::vector<std::int32_t>(n),
                                      std::vector<std::int32_t>(groups + 1)};
        device.copy_to_host(results[0].data(), sorted.members(), n);
        device.copy_to_host(results[1].data(), sorted.places(), n);
        device.copy_to_host(results[2].data(), sorted.firsts(), groups + 1);
        return results;
      });
    }
}

// Rows to two of three experts each and back, and the sums of an index's rows.
BOOST_AUTO_TEST_CASE_TEMPLATE(gathering_and_routing, T, ElementTypes) {
  Devices devices;
  for (const RowShape s : shapes) {
    const std::size_t n = s.rows, experts = 3;
    const auto logits0 = cast<T>(random_values(n * experts, 1)), x0 = cast<T>(random_values(n * s.cols, 2)),
               dy0 = cast<T>(random_values(n * s.cols, 3)),
               sums0 = cast<T>(random_values(experts * s.cols, 4)),
               outputs0 = cast<T>(random_values(2 * n * s.cols, 5));  // the experts'
    check_same(devices, "routing", s, Tolerance<T>::reduction, [&](auto& device) {
      using D = std::decay_t<decltype(device)>;
      const std::vector<T> empty(2 * n * s.cols, T(NAN));
      auto logits = upload(device, logits0), x = upload(device, x0), dy = upload(device, dy0),
           in = upload(device, empty), outputs = upload(device, outputs0), y = upload(device, x0),
           sums = upload(device, sums0), scratch = upload(device, std::vector<T>{});
      auto loss = upload(device, std::vector<double>{1});
      const auto h = logits.matrix(n, experts);
      const auto rows = outputs.matrix(2 * n, s.cols), out = y.matrix(n, s.cols);
      ops::add_noise(device, {Seed{3}, 5, RandomStream::layers, 7, nullptr}, 0.1, h);
      ops::TopKRouting<D, T, 2> routing(device);
      routing.route(h);
      routing.dispatch(x.matrix(n, s.cols), in.matrix(2 * n, s.cols));
      routing.combine(rows, out);
      ops::load_balance_with_gradient<2>(device, h, routing.chosen(), 0.5, loss.data(), scratch);
      Results<T> results{in.to_host(), y.to_host(), logits.to_host(), cast<T>(loss.to_host())};
      routing.combine_backward(dy.matrix(n, s.cols), rows);
      routing.dispatch_backward(rows, out);
      routing.route_backward_accumulate(h);
      ops::RowGroups<D> groups(device);
      groups.assign(routing.chosen(), n, experts);
      ops::scatter_rows_accumulate<T>(device, groups, dy.matrix(n, s.cols), sums.matrix(experts, s.cols));
      results.insert(results.end(), {outputs.to_host(), y.to_host(), logits.to_host(), sums.to_host()});
      return results;
    });
  }
}

BOOST_AUTO_TEST_CASE(casts) {
  Devices devices;
  for (const std::size_t n : {std::size_t{1}, ops::cast_chunk + 5}) {
    const auto x0 = random_values(n, 1);
    check_same(devices, "cast", {1, n}, 0, [&](auto& device) {
      auto x = upload(device, x0);
      auto y = upload(device, std::vector<float>(n, NAN));
      ops::cast(device, std::span<const double>(x.data(), n), std::span<float>(y.data(), n));
      return Results<float>{y.to_host()};
    });
  }
}

BOOST_AUTO_TEST_SUITE_END()
