#pragma once
// What every device must do: the conformance suite of the Device concept. It only uses the concept's calls,
// so that it also runs on devices whose memory the host cannot touch.

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "demix/core/host_device.hpp"
#include "demix/device/array.hpp"
#include "demix/device/staging.hpp"

namespace demix::testing {

/// visits[r] += 1.
struct VisitKernel {
  std::int32_t* visits;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    std::int32_t* v = visits + r;
    team.once([=] { *v += 1; });
  }
};

/// Every primitive of a team, on row r of x [rows, cols]: y = x + sum(x) + max(x), z = y reversed, and the
/// sum and the maximum themselves.
struct TeamKernel {
  const float* x;
  float *y, *z, *sums, *maxima;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const std::size_t n = cols;
    const float* xr = x + r * n;
    float *yr = y + r * n, *zr = z + r * n, *sum_r = sums + r, *max_r = maxima + r;
    const float sum = team.sum(n, [=](std::size_t c) { return xr[c]; });
    const float highest = team.max(n, [=](std::size_t c) { return xr[c]; });
    team.for_each(n, [=](std::size_t c) { yr[c] = xr[c] + sum + highest; });
    team.sync();
    team.for_each(n, [=](std::size_t c) { zr[c] = yr[n - 1 - c]; });
    team.once([=] {
      *sum_r = sum;
      *max_r = highest;
    });
  }
};

/// Small integers, so that sums are exact in every order; one value of each row is far below zero.
inline std::vector<float> conformance_values(std::size_t n, std::size_t salt) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>((i * 37 + salt * 11) % 17) - 20.0f;
  return values;
}

template <device::Device D>
void conforms_in_memory(D& device) {
  for (const std::size_t n : {0u, 1u, 63u, 1'000'003u}) {
    const auto values = conformance_values(n, 1);
    float *a = device.template allocate<float>(n), *b = device.template allocate<float>(n);
    BOOST_TEST(reinterpret_cast<std::uintptr_t>(a) % 64 == 0u);
    device.copy_to_device(a, values.data(), n);
    device.copy(b, a, n);
    device.fill_zero(a, n);
    std::vector<float> back(n, 99.0f), zeros(n, 99.0f);
    device.copy_to_host(back.data(), b, n);
    device.copy_to_host(zeros.data(), a, n);
    BOOST_TEST((back == values), n << " floats come back as they went");
    BOOST_TEST((zeros == std::vector<float>(n, 0.0f)), n << " floats are zero");
    device.deallocate(a, n);
    device.deallocate(b, n);
  }
}

template <device::Device D>
void conforms_in_transfers(D& device) {
  const auto values = conformance_values(100'003, 2);
  const std::size_t n = values.size();
  float *from = device.template allocate_host<float>(n), *to = device.template allocate_host<float>(n);
  std::copy(values.begin(), values.end(), from);
  std::fill(to, to + n, 99.0f);
  device::Array<D, float> there(device, n), copy(device, n);
  typename D::Event uploaded(device), downloaded(device);
  BOOST_TEST(device.done(uploaded), "an event that was never recorded is done");
  device.upload(there.data(), from, n);
  device.record(uploaded);
  device.copy(copy.data(), there.data(), n);
  device.download(to, copy.data(), n);
  device.record(downloaded);
  device.wait(downloaded);
  BOOST_TEST(device.done(uploaded));
  BOOST_TEST(device.done(downloaded));
  BOOST_TEST(std::equal(values.begin(), values.end(), to), "what is uploaded comes back");
  device.deallocate_host(from, n);
  device.deallocate_host(to, n);

  // Uploads that follow each other on the way: each block keeps what it carries until it has left.
  device::Staging<D, std::int32_t> staging(device);
  device::Array<D, std::int32_t> numbers(device, 64 * 1000);
  for (std::int32_t k = 0; k < 64; ++k)
    staging.upload(numbers.data() + 1000 * k, 1000, 1000,
                   [k](std::span<std::int32_t> block) { std::fill(block.begin(), block.end(), k); });
  const auto back = numbers.to_host();
  bool ok = true;
  for (std::size_t i = 0; i < back.size(); ++i) ok = ok && back[i] == static_cast<std::int32_t>(i / 1000);
  BOOST_TEST(ok, "64 uploads of one staging area");
}

template <device::Device D>
void conforms_in_rows(D& device) {
  for (const std::size_t n : {0u, 1u, 1000u, 70'001u}) {
    device::Array<D, std::int32_t> visits(device, n);
    visits.fill_zero();
    device.rows(n, VisitKernel{visits.data()});
    device.synchronize();
    BOOST_TEST((visits.to_host(n) == std::vector<std::int32_t>(n, 1)), "each of " << n << " rows once");
  }
}

template <device::Device D>
void conforms_in_teams(D& device) {
  for (const std::size_t cols : {1u, 2u, 31u, 32u, 33u, 255u, 256u, 257u, 1024u, 5000u}) {
    const std::size_t rows = 3;
    const auto values = conformance_values(rows * cols, cols);
    device::Array<D, float> x(device), y(device, rows * cols), z(device, rows * cols), sums(device, rows),
        maxima(device, rows);
    x.assign(values);
    device.rows(rows, TeamKernel{x.data(), y.data(), z.data(), sums.data(), maxima.data(), cols});
    const auto y_host = y.to_host(), z_host = z.to_host(), sums_host = sums.to_host(),
               maxima_host = maxima.to_host();
    bool ok = true;
    for (std::size_t r = 0; r < rows; ++r) {
      const float* xr = values.data() + r * cols;
      float sum = 0;
      for (std::size_t c = 0; c < cols; ++c) sum += xr[c];
      const float highest = *std::max_element(xr, xr + cols);
      ok = ok && sums_host[r] == sum && maxima_host[r] == highest;
      for (std::size_t c = 0; c < cols; ++c)
        ok = ok && y_host[r * cols + c] == xr[c] + sum + highest &&
             z_host[r * cols + c] == y_host[r * cols + cols - 1 - c];
    }
    BOOST_TEST(ok, "for_each, sum, max, once and sync over " << cols << " columns");
  }
  device::Array<D, float> unused(device, 1), sum(device, 1), maximum(device, 1);
  device.rows(1, TeamKernel{unused.data(), unused.data(), unused.data(), sum.data(), maximum.data(), 0});
  BOOST_TEST(sum.to_host()[0] == 0.0f);
  BOOST_TEST(maximum.to_host()[0] == -std::numeric_limits<float>::infinity());
}

template <device::Device D>
void conforms_in_gemm(D& device) {
  using device::Transpose;
  for (const auto& [m, n, k] : {std::array<std::size_t, 3>{1, 1, 1}, {3, 5, 7}, {64, 65, 33}, {1, 130, 17}})
    for (const auto ta : {Transpose::no, Transpose::yes})
      for (const auto tb : {Transpose::no, Transpose::yes})
        for (const auto& [alpha, beta] : {std::pair{1.0f, 0.0f}, {0.5f, 1.0f}, {2.0f, -1.0f}}) {
          const bool at = ta == Transpose::yes, bt = tb == Transpose::yes;
          // Rows of each matrix stand further apart than they are long.
          const std::size_t lda = (at ? m : k) + 2, ldb = (bt ? k : n) + 1, ldc = n + 3;
          const auto a = conformance_values((at ? k : m) * lda, 1),
                     b = conformance_values((bt ? n : k) * ldb, 2);
          auto expected = conformance_values(m * ldc, 3);
          device::Array<D, float> da(device), db(device), dc(device);
          da.assign(a);
          db.assign(b);
          dc.assign(expected);
          device.gemm(ta, tb, m, n, k, alpha, da.data(), lda, db.data(), ldb, beta, dc.data(), ldc);
          for (std::size_t i = 0; i < m; ++i)
            for (std::size_t j = 0; j < n; ++j) {
              float sum = 0;  // integers: exact
              for (std::size_t l = 0; l < k; ++l)
                sum += (at ? a[l * lda + i] : a[i * lda + l]) * (bt ? b[j * ldb + l] : b[l * ldb + j]);
              float& c = expected[i * ldc + j];
              c = alpha * sum + beta * c;
            }
          BOOST_TEST((dc.to_host() == expected), "gemm " << m << " x " << n << " x " << k
                                                         << (at ? " T" : " N") << (bt ? "T" : "N")
                                                         << " alpha " << alpha << " beta " << beta);
        }
}

template <device::Device D>
void conforms_in_arrays(D& device) {
  device::Array<D, float> a(device);
  BOOST_TEST(a.size() == 0u);
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  a.assign(values);
  const auto m = a.matrix(2, 3);
  BOOST_TEST((m.rows == 2 && m.cols == 3 && m.stride == 3 && m.data == a.data()));
  a.reserve(2);
  BOOST_TEST(a.size() == 6u);
  device::Array<D, float> b(std::move(a));
  BOOST_TEST((b.to_host(3) == std::vector<float>{1, 2, 3}));
  BOOST_TEST(a.data() == nullptr);
  a = std::move(b);
  BOOST_TEST((a.to_host() == values));
  a.matrix(10, 10);
  BOOST_TEST(a.size() == 100u);
  a.fill_zero();
  BOOST_TEST((a.to_host() == std::vector<float>(100, 0.0f)));
}

/// All of it.
template <device::Device D>
void device_conformance(D& device) {
  conforms_in_memory(device);
  conforms_in_transfers(device);
  conforms_in_rows(device);
  conforms_in_teams(device);
  conforms_in_gemm(device);
  conforms_in_arrays(device);
}

}  // namespace demix::testing
