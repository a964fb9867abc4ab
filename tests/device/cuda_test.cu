// device::Cuda against the conformance suite of its concept, and what is CUDA's alone.
#include "demix/device/cuda.cuh"
#include "device/conformance.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using device::Cuda;
using device::Transpose;

namespace {

/// sums[r] = the sum of row r of x [rows, cols].
struct RowSum {
  const float* x;
  float* sums;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const float* xr = x + r * cols;
    float* s = sums + r;
    const float sum = team.sum(cols, [=](std::size_t c) { return xr[c]; });
    team.once([=] { *s = sum; });
  }
};

/// Several reductions one after the other, none of which may disturb another: y[r] = sum over k < 8 of (k +
/// 1) times the maximum of x[r, c] + k c.
struct ChainedReductions {
  const double* x;
  double* y;
  std::size_t cols;

  template <class Team>
  DEMIX_HOST_DEVICE void operator()(Team& team, std::size_t r) const {
    const double* xr = x + r * cols;
    double* yr = y + r;
    double total = 0;
    for (int k = 0; k < 8; ++k)
      total += (k + 1) * team.max(cols, [=](std::size_t c) { return xr[c] + k * static_cast<double>(c); });
    team.once([=] { *yr = total; });
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(cuda_device)

BOOST_AUTO_TEST_CASE(conforms) {
  Cuda device;
  device_conformance(device);
}

BOOST_AUTO_TEST_CASE(what_is_not_there_is_an_error) {
  BOOST_CHECK_THROW(Cuda(Cuda::count()), Error);
  BOOST_CHECK_THROW(Cuda(-1), Error);
}

BOOST_AUTO_TEST_CASE(no_room_is_an_error_that_the_device_survives) {
  Cuda device;
  BOOST_CHECK_THROW(device.allocate<double>(std::size_t{1} << 57), Error);
  BOOST_CHECK_THROW(device.allocate<double>(std::size_t{1} << 62), Error);  // the bytes overflow
  device::Array<Cuda, float> a(device);
  a.assign(std::vector<float>{1, 2, 3});
  device::Array<Cuda, float> sum(device, 1);
  device.rows(1, RowSum{a.data(), sum.data(), 3});
  BOOST_TEST(sum.to_host()[0] == 6.0f);
}

BOOST_AUTO_TEST_CASE(a_failed_call_names_itself_and_is_not_met_again) {
  try {
    DEMIX_CUDA_TRY(cudaSetDevice(12345));
    BOOST_FAIL("cudaSetDevice(12345) succeeded");
  } catch (const Error& error) {
    const std::string message = error.what();
    BOOST_TEST(message.find("cudaSetDevice(12345)") != std::string::npos);
    BOOST_TEST(message.find("cudaErrorInvalidDevice") != std::string::npos);
  }
  BOOST_TEST(static_cast<int>(cudaGetLastError()) == static_cast<int>(cudaSuccess));
  BOOST_CHECK_THROW(DEMIX_CUBLAS_TRY(CUBLAS_STATUS_ALLOC_FAILED), Error);
  DEMIX_CUDA_TRY(cudaSuccess);
}

BOOST_AUTO_TEST_CASE(sums_repeat_bit_for_bit) {
  Cuda device;
  const std::size_t rows = 3, cols = 1999;
  device::Array<Cuda, float> x(device), sums(device, rows);
  x.assign(cast<float>(random_values(rows * cols, 5)));
  device.rows(rows, RowSum{x.data(), sums.data(), cols});
  const auto first = sums.to_host();
  sums.fill_zero();
  device.rows(rows, RowSum{x.data(), sums.data(), cols});
  BOOST_TEST((sums.to_host() == first));
}

BOOST_AUTO_TEST_CASE(reductions_in_a_row_do_not_disturb_each_other) {
  Cuda device;
  const std::size_t rows = 4, cols = 300;
  const auto values = random_values(rows * cols, 6);
  device::Array<Cuda, double> x(device), y(device, rows);
  x.assign(values);
  device.rows(rows, ChainedReductions{x.data(), y.data(), cols});
  std::vector<double> expected(rows, 0.0);
  for (std::size_t r = 0; r < rows; ++r)
    for (int k = 0; k < 8; ++k) {
      double highest = -INFINITY;
      for (std::size_t c = 0; c < cols; ++c)
        highest = std::max(highest, values[r * cols + c] + k * static_cast<double>(c));
      expected[r] += (k + 1) * highest;
    }
  DEMIX_CHECK_CLOSE(y.to_host(), expected, Tolerance<double>::elementwise);
}

BOOST_AUTO_TEST_CASE(gemm_in_double_reads_strided_views) {
  Cuda device;
  device::Cpu cpu;
  const std::size_t m = 7, n = 9, k = 5, lda = 11, ldb = 12, ldc = 13;
  const auto a = random_values(9 * lda, 1), b = random_values(9 * ldb, 2), c = random_values(9 * ldc, 3);
  for (const auto ta : {Transpose::no, Transpose::yes})
    for (const auto tb : {Transpose::no, Transpose::yes}) {
      auto expected = c;
      cpu.gemm(ta, tb, m, n, k, 0.5, a.data(), lda, b.data(), ldb, 2.0, expected.data(), ldc);
      device::Array<Cuda, double> da(device), db(device), dc(device);
      da.assign(a);
      db.assign(b);
      dc.assign(c);
      device.gemm(ta, tb, m, n, k, 0.5, da.data(), lda, db.data(), ldb, 2.0, dc.data(), ldc);
      DEMIX_CHECK_CLOSE(dc.to_host(), expected, Tolerance<double>::gemm);
    }
}

BOOST_AUTO_TEST_CASE(gemm_with_beta_0_does_not_read_c) {
  Cuda device;
  device::Array<Cuda, float> a(device), b(device), c(device);
  a.assign(std::vector<float>{1, 2});
  b.assign(std::vector<float>{3, 4});
  c.assign(std::vector<float>{NAN, NAN, NAN, NAN});
  device.gemm(Transpose::no, Transpose::no, 2, 2, 1, 1.0f, a.data(), 1, b.data(), 2, 0.0f, c.data(), 2);
  BOOST_TEST((c.to_host() == std::vector<float>{3, 4, 6, 8}));
}

BOOST_AUTO_TEST_CASE(gemm_of_empty_matrices) {
  Cuda device;
  device::Array<Cuda, float> c(device);
  const std::vector<float> values{1, 2, 3, 4};
  c.assign(values);
  device.gemm(Transpose::no, Transpose::no, 0, 2, 2, 1.0f, c.data(), 2, c.data(), 2, 0.0f, c.data(), 2);
  device.gemm(Transpose::no, Transpose::no, 2, 0, 2, 1.0f, c.data(), 2, c.data(), 0, 0.0f, c.data(), 0);
  BOOST_TEST((c.to_host() == values));
}

BOOST_AUTO_TEST_CASE(what_cublas_refuses_is_an_error_with_the_sizes) {
  Cuda device;
  device::Array<Cuda, float> a(device, 6);
  try {  // rows of a, 3 long, cannot stand 2 apart
    device.gemm(Transpose::no, Transpose::no, 2, 1, 3, 1.0f, a.data(), 2, a.data(), 1, 0.0f, a.data(), 1);
    BOOST_FAIL("lda = 2 for k = 3 is accepted");
  } catch (const Error& error) {
    BOOST_TEST(std::string(error.what()).find("k=3 lda=2") != std::string::npos, error.what());
  }
}

BOOST_AUTO_TEST_CASE(gemm_beyond_32_bits_is_an_error) {
  Cuda device;
  const std::size_t large = std::size_t{1} << 31;
  float* nothing = nullptr;
  const auto gemm = [&](std::size_t m, std::size_t n, std::size_t k, std::size_t lda, std::size_t ldb,
                        std::size_t ldc) {
    device.gemm(Transpose::no, Transpose::no, m, n, k, 1.0f, nothing, lda, nothing, ldb, 0.0f, nothing, ldc);
  };
  BOOST_CHECK_THROW(gemm(large, 1, 1, 1, 1, 1), Error);
  BOOST_CHECK_THROW(gemm(1, large, 1, 1, large, large), Error);
  BOOST_CHECK_THROW(gemm(1, 1, large, large, 1, 1), Error);
  BOOST_CHECK_THROW(gemm(1, 1, 1, large, 1, 1), Error);
  BOOST_CHECK_THROW(gemm(1, 1, 1, 1, large, 1), Error);
  BOOST_CHECK_THROW(gemm(1, 1, 1, 1, 1, large), Error);
}

BOOST_AUTO_TEST_SUITE_END()
