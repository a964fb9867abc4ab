#include "demix/core/matrix.hpp"

#include "allocations.hpp"
#include "testing.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(matrix)

BOOST_AUTO_TEST_CASE(slices_share_the_memory) {
  std::vector<int> memory(12);
  for (int i = 0; i < 12; ++i) memory[static_cast<std::size_t>(i)] = i;
  const Matrix<int> m(memory.data(), 3, 4);
  const auto slice = m.slice_rows(1, 3).slice_cols(2, 4);
  BOOST_TEST(slice.rows == 2u);
  BOOST_TEST(slice.cols == 2u);
  BOOST_TEST(slice.row(0)[0] == 6);
  BOOST_TEST(slice.row(1)[1] == 11);
  slice.row(1)[0] = -1;
  BOOST_TEST(memory[10] == -1);
  BOOST_TEST(slice.size() == 4u);
}

BOOST_AUTO_TEST_CASE(contiguity) {
  float memory[12];
  const Matrix<float> m(memory, 3, 4);
  BOOST_TEST(m.contiguous());
  BOOST_TEST(m.slice_rows(1, 3).contiguous());
  BOOST_TEST(!m.slice_cols(0, 3).contiguous());
  BOOST_TEST(m.slice_rows(0, 1).slice_cols(0, 3).contiguous());
  BOOST_TEST(Matrix<float>().contiguous());
}

BOOST_AUTO_TEST_CASE(mutable_views_become_read_only_ones_and_never_the_other_way) {
  static_assert(std::is_convertible_v<Matrix<float>, Matrix<const float>>);
  static_assert(!std::is_convertible_v<Matrix<const float>, Matrix<float>>);
  static_assert(!std::is_convertible_v<Matrix<float>, Matrix<const double>>);
}

BOOST_AUTO_TEST_CASE(errors_name_both_shapes) {
  float memory[6];
  const Matrix<float> m(memory, 2, 3);
  BOOST_TEST(testing::allocations_of([&] { require_shape("x", m, 2, 3); }) == 0u);
  BOOST_CHECK_EXCEPTION(require_shape("x", m, 3, 2), Error, [](const Error& error) {
    return error.what() == std::string("x has shape [2, 3], expected [3, 2]");
  });
}

BOOST_AUTO_TEST_SUITE_END()
