#include "demix/ops/row_random.hpp"

#include <boost/mpl/list.hpp>
#include <set>

#include "testing.hpp"

using namespace demix;
using namespace demix::testing;
using Types = boost::mpl::list<float, double>;

namespace {

const ops::RowRandom random_of_layer{Seed{5}, 3, RandomStream::layers, 7, nullptr};

std::vector<double> noise(const ops::RowRandom& random, std::size_t rows, std::size_t cols) {
  device::Cpu cpu;
  Owned<double> x(rows, cols);
  ops::add_noise(cpu, random, 1, x.view());
  return x.values;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(row_random)

BOOST_AUTO_TEST_CASE(words_are_those_of_the_counter) {
  const PhiloxWords expected = philox(Seed{5}, 11, 4, 3, 6 + (7 << 8));
  const PhiloxWords words = random_of_layer(4, 11);
  for (int k = 0; k < 4; ++k) BOOST_TEST(words.word[k] == expected.word[k]);
}

BOOST_AUTO_TEST_CASE(seed_step_stream_site_row_and_index_all_count) {
  std::set<std::uint32_t> seen;
  auto other = random_of_layer;
  const auto insert = [&](const ops::RowRandom& random, std::size_t row, std::size_t index) {
    BOOST_TEST(seen.insert(random(row, index).word[0]).second);
  };
  insert(random_of_layer, 0, 0);
  insert(random_of_layer, 1, 0);
  insert(random_of_layer, 0, 1);
  insert((other.seed = Seed{6}, other), 0, 0);
  insert((other = random_of_layer, other.step = 4, other), 0, 0);
  insert((other = random_of_layer, other.stream = RandomStream::dropout, other), 0, 0);
  insert((other = random_of_layer, other.site = 8, other), 0, 0);
}

// A rank that holds rows 6, 7, 2 of all draws what those rows draw.
BOOST_AUTO_TEST_CASE(noise_follows_the_numbers_of_rows) {
  const auto whole = noise(random_of_layer, 8, 5);
  const std::vector<std::int32_t> numbers{6, 7, 2};
  auto here = random_of_layer;
  here.row_numbers = numbers.data();
  const auto part = noise(here, 3, 5);
  for (std::size_t i = 0; i < part.size(); ++i)
    BOOST_TEST(part[i] == whole[static_cast<std::size_t>(numbers[i / 5]) * 5 + i % 5]);
}

BOOST_AUTO_TEST_CASE(noise_has_mean_0_and_deviation_1_in_every_column_of_its_own) {
  const std::size_t rows = 20000, cols = 3;
  const auto x = noise(random_of_layer, rows, cols);
  for (std::size_t c = 0; c < cols; ++c) {
    double mean = 0, square = 0, within = 0, covariance = 0;
    for (std::size_t r = 0; r < rows; ++r) {
      const double v = x[r * cols + c];
      mean += v / rows;
      square += v * v / rows;
      covariance += v * x[r * cols + (c + 1) % cols] / rows;
      within += (std::fabs(v) < 1) / static_cast<double>(rows);
      BOOST_TEST(std::fabs(v) < 3.47);
    }
    BOOST_TEST(std::fabs(mean) < 0.03);  // four standard errors
    BOOST_TEST(std::fabs(square - 1) < 0.04);
    BOOST_TEST(std::fabs(covariance) < 0.03);
    BOOST_TEST(std::fabs(within - 0.68) < 0.03);  // a normal distribution's
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(noise_is_added_with_its_deviation, T, Types) {
  device::Cpu cpu;
  Owned<T> x(2, 3, T(10));
  ops::add_noise(cpu, random_of_layer, 0.5, x.view());
  auto expected = noise(random_of_layer, 2, 3);
  for (double& v : expected) v = 10 + 0.5 * v;
  DEMIX_CHECK_CLOSE(x.values, expected, 1e-6);
  BOOST_CHECK_THROW(ops::add_noise(cpu, random_of_layer, 0.5, x.view().slice_cols(0, 2)), Error);
}

BOOST_AUTO_TEST_SUITE_END()
