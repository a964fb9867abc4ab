#include "demix/ops/attention_cpu.hpp"

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;

namespace {

template <class T>
struct Attention {
  ops::AttentionShape shape;
  std::vector<T> qkv, out, logsumexp;

  Attention(const ops::AttentionShape& shape_, const std::vector<double>& qkv_)
      : shape(shape_),
        qkv(cast<T>(qkv_)),
        out(shape.rows() * shape.width(), T(99)),
        logsumexp(shape.sequences * shape.heads * shape.sequence_length),
        scratch(cpu) {
    ops::Attention<device::Cpu>::forward<T>(cpu, shape, view(qkv, 3), view(out, 1), lse(), scratch);
  }

  std::vector<T> backward(const std::vector<double>& dout_) {
    auto dout = cast<T>(dout_);
    std::vector<T> dqkv(qkv.size(), T(99));
    ops::Attention<device::Cpu>::backward<T>(cpu, shape, view(dout, 1), view(qkv, 3), view(out, 1), lse(),
                                             view(dqkv, 3), scratch);
    return dqkv;
  }

 private:
  Matrix<T> view(std::vector<T>& v, std::size_t widths) {
    return {v.data(), shape.rows(), widths * shape.width()};
  }
  Matrix<T> lse() { return {logsumexp.data(), shape.sequences * shape.heads, shape.sequence_length}; }

  device::Cpu cpu;
  device::Array<device::Cpu, T> scratch;
};

struct Naive {
  std::vector<double> out, dqkv;
};

/// The definition with whole probability matrices, and its chain rule.
Naive naive(const ops::AttentionShape& s, const std::vector<double>& qkv, const std::vector<double>& dout) {
  const std::size_t width = s.width(), length = s.sequence_length;
  Naive result{std::vector<double>(s.rows() * width), std::vector<double>(qkv.size())};
  const double scale = 1 / std::sqrt(static_cast<double>(s.head_dim));
  for (std::size_t b = 0; b < s.sequences; ++b)
    for (std::size_t h = 0; h < s.heads; ++h) {
      const auto at = [&](std::size_t t, std::size_t part, std::size_t c) {
        return (b * length + t) * 3 * width + part * width + h * s.head_dim + c;
      };
      for (std::size_t i = 0; i < length; ++i) {
        std::vector<double> p(i + 1), dp(i + 1);
        double sum = 0, mean = 0;
        for (std::size_t j = 0; j <= i; ++j) {
          double z = 0;
          for (std::size_t c = 0; c < s.head_dim; ++c) z += qkv[at(i, 0, c)] * qkv[at(j, 1, c)];
          sum += p[j] = std::exp(z * scale);
        }
        const std::size_t o = (b * length + i) * width + h * s.head_dim;
        for (std::size_t j = 0; j <= i; ++j) {
          p[j] /= sum;
          for (std::size_t c = 0; c < s.head_dim; ++c) {
            result.out[o + c] += p[j] * qkv[at(j, 2, c)];
            dp[j] += dout[o + c] * qkv[at(j, 2, c)];
            result.dqkv[at(j, 2, c)] += p[j] * dout[o + c];
          }
          mean += p[j] * dp[j];
        }
        for (std::size_t j = 0; j <= i; ++j)
          for (std::size_t c = 0; c < s.head_dim; ++c) {
            const double dz = p[j] * (dp[j] - mean) * scale;
            result.dqkv[at(i, 0, c)] += dz * qkv[at(j, 1, c)];
            result.dqkv[at(j, 1, c)] += dz * qkv[at(i, 0, c)];
          }
      }
    }
  return result;
}

std::vector<double> random_qkv(const ops::AttentionShape& shape) {
  auto qkv = random_values(shape.rows() * 3 * shape.width(), 1);
  for (auto& v : qkv) v *= 2;
  return qkv;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(attention)

BOOST_AUTO_TEST_CASE(hand_values) {
  // One head of width 1: position 0 only sees itself; at position 1, q k = 0 and log 3, so v is mixed 1 : 3.
  const Attention<double> a({1, 2, 1, 1}, {5, 0, 10, 1, std::log(3.0), 20});
  BOOST_TEST(a.out[0] == 10);
  BOOST_TEST(a.out[1] == 17.5, boost::test_tools::tolerance(1e-14));
  BOOST_TEST(a.logsumexp[1] == std::log(4.0), boost::test_tools::tolerance(1e-14));
}

BOOST_AUTO_TEST_CASE(further_tokens_see_those_before_them) {
  // Two sequences: 70 tokens of the first and 3 of the second come before the last 66.
  const std::size_t heads = 2, head_dim = 3, width = heads * head_dim, capacity = 140, rest = 66;
  const std::vector<std::int32_t> lengths{70, 3};
  device::Cpu cpu;
  device::Array<device::Cpu, double> scratch(cpu);
  Owned<double> keys_values(2 * capacity, 2 * width, NAN), some(2 * rest, 3 * width), out(2 * rest, width);
  std::vector<double> expected;
  for (std::size_t b = 0; b < 2; ++b) {
    const auto before = static_cast<std::size_t>(lengths[b]);
    const ops::AttentionShape shape{1, before + rest, heads, head_dim};
    const auto qkv = random_qkv(shape);
    const auto whole = naive(shape, qkv, std::vector<double>(shape.rows() * width)).out;
    expected.insert(expected.end(), whole.begin() + static_cast<std::ptrdiff_t>(before * width), whole.end());
    for (std::size_t t = 0; t < before; ++t)
      std::copy_n(&qkv[t * 3 * width + width], 2 * width, &keys_values(b * capacity + t, 0));
    std::copy(qkv.begin() + static_cast<std::ptrdiff_t>(before * 3 * width), qkv.end(), &some(b * rest, 0));
  }
  const ops::AttentionShape shape{2, rest, heads, head_dim};
  ops::append_keys_values<device::Cpu, double>(cpu, shape, some.view(), lengths.data(), keys_values.view());
  ops::Attention<device::Cpu>::forward_cached<double>(cpu, shape, some.view(), keys_values.view(),
                                                      lengths.data(), out.view(), scratch);
  DEMIX_CHECK_CLOSE(out.values, expected, 1e-12);
}

BOOST_AUTO_TEST_CASE(against_the_definition_around_the_tile) {
  for (const ops::AttentionShape& shape : {ops::AttentionShape{1, 1, 1, 1},
                                           {2, 7, 3, 5},
                                           {1, 63, 2, 4},
                                           {2, 64, 1, 8},
                                           {1, 65, 2, 3},
                                           {2, 130, 2, 8}}) {
    const auto qkv = random_qkv(shape), dout = random_values(shape.rows() * shape.width(), 2);
    const auto expected = naive(shape, qkv, dout);
    Attention<double> exact(shape, qkv);
    Attention<float> single(shape, qkv);
    BOOST_TEST_CONTEXT("T=" << shape.sequence_length) {
      DEMIX_CHECK_CLOSE(exact.out, expected.out, Tolerance<double>::attention);
      DEMIX_CHECK_CLOSE(exact.backward(dout), expected.dqkv, Tolerance<double>::attention);
      DEMIX_CHECK_CLOSE(single.out, expected.out, Tolerance<float>::attention);
      DEMIX_CHECK_CLOSE(single.backward(dout), expected.dqkv, Tolerance<float>::attention);
    }
  }
}

BOOST_AUTO_TEST_CASE(backward_against_finite_differences) {
  const Threads threads(1);  // many small calls
  const ops::AttentionShape shape{2, 5, 2, 3};
  auto qkv = random_qkv(shape);
  const auto dout = random_values(shape.rows() * shape.width(), 2);
  const auto numeric =
      finite_differences(qkv, [&] { return weighted_sum(Attention<double>(shape, qkv).out, dout); });
  DEMIX_CHECK_CLOSE(Attention<double>(shape, qkv).backward(dout), numeric,
                    Tolerance<double>::finite_difference);
}

BOOST_AUTO_TEST_CASE(the_future_does_not_influence_the_past) {
  const ops::AttentionShape shape{1, 70, 2, 4};
  const std::size_t changed = 66, width = shape.width();
  auto qkv = random_qkv(shape);
  const auto before = Attention<float>(shape, qkv).out;
  for (std::size_t i = changed * 3 * width; i < qkv.size(); ++i) qkv[i] = 50 - qkv[i];
  const auto after = Attention<float>(shape, qkv).out;
  for (std::size_t i = 0; i < before.size(); ++i)
    if (i < changed * width)
      BOOST_TEST(before[i] == after[i]);
    else
      BOOST_TEST(before[i] != after[i]);
}

BOOST_AUTO_TEST_CASE(sequences_do_not_see_each_other) {
  const ops::AttentionShape both{2, 9, 2, 4}, single{1, 9, 2, 4};
  const auto qkv = random_qkv(both);
  const std::size_t half = qkv.size() / 2;
  const auto out = Attention<double>(both, qkv).out;
  const auto second =
      Attention<double>(single, {qkv.begin() + static_cast<std::ptrdiff_t>(half), qkv.end()}).out;
  BOOST_TEST(
      (std::vector<double>(out.begin() + static_cast<std::ptrdiff_t>(out.size() / 2), out.end()) == second));
}

BOOST_AUTO_TEST_CASE(huge_scores) {
  const ops::AttentionShape shape{1, 3, 1, 1};
  // Scores of +-1e4: the softmax is a hard choice, without overflow.
  Attention<float> a(shape, {100, 100, 1, 100, -100, 2, 100, 0, 3});
  DEMIX_CHECK_CLOSE(a.out, (std::vector{1, 1, 1}), Tolerance<float>::attention);
  for (const float d : a.backward({1, 1, 1})) BOOST_TEST(std::isfinite(d));
}

BOOST_AUTO_TEST_CASE(shapes) {
  device::Cpu cpu;
  device::Array<device::Cpu, float> scratch(cpu);
  const ops::AttentionShape shape{1, 4, 2, 3};
  Owned<float> qkv(4, 18), out(4, 6), logsumexp(2, 4), wrong(4, 7);
  const auto forward = [&](auto& a, auto& b, auto& c) {
    ops::Attention<device::Cpu>::forward<float>(cpu, shape, a.view(), b.view(), c.view(), scratch);
  };
  BOOST_CHECK_THROW(forward(wrong, out, logsumexp), Error);
  BOOST_CHECK_THROW(forward(qkv, wrong, logsumexp), Error);
  BOOST_CHECK_THROW(forward(qkv, out, wrong), Error);
  const auto backward = [&](auto& dout, auto& a, auto& o, auto& lse, auto& dqkv) {
    ops::Attention<device::Cpu>::backward<float>(cpu, shape, dout.view(), a.view(), o.view(), lse.view(),
                                                 dqkv.view(), scratch);
  };
  Owned<float> dqkv(4, 18);
  backward(out, qkv, out, logsumexp, dqkv);
  BOOST_CHECK_THROW(backward(wrong, qkv, out, logsumexp, dqkv), Error);
  BOOST_CHECK_THROW(backward(out, wrong, out, logsumexp, dqkv), Error);
  BOOST_CHECK_THROW(backward(out, qkv, wrong, logsumexp, dqkv), Error);
  BOOST_CHECK_THROW(backward(out, qkv, out, wrong, dqkv), Error);
  BOOST_CHECK_THROW(backward(out, qkv, out, logsumexp, wrong), Error);
}

BOOST_AUTO_TEST_CASE(not_a_number_in_any_key_reaches_every_query_that_sees_it) {
  const ops::AttentionShape shape{1, 40, 1, 4};
  for (std::size_t at = 0; at < shape.sequence_length; ++at)
    for (const std::size_t part : {0u, 1u, 2u}) {  // q, k, v
      auto qkv = random_qkv(shape);
      qkv[at * 12 + part * 4 + 1] = std::nan("");
      const Attention<float> a(shape, qkv);
      const std::size_t last = part == 0 ? at + 1 : shape.sequence_length;
      for (std::size_t t = at; t < last; ++t) BOOST_REQUIRE(std::isnan(a.out[t * 4 + 1]));
    }
}

BOOST_AUTO_TEST_SUITE_END()
