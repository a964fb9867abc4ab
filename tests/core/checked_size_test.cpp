#include "demix/core/checked_size.hpp"

#include <limits>

#include "messages.hpp"
#include "testing.hpp"

using namespace demix;

namespace {

constexpr std::size_t most = std::numeric_limits<std::size_t>::max();

}  // namespace

BOOST_AUTO_TEST_SUITE(checked_size)

BOOST_AUTO_TEST_CASE(products_and_sums_that_fit) {
  BOOST_TEST(checked_product("x", std::size_t{6}, std::size_t{7}) == 42u);
  BOOST_TEST(checked_product("x", most, std::size_t{1}) == most);
  BOOST_TEST(checked_product("x", most, std::size_t{0}) == 0u);
  BOOST_TEST(checked_product("x", std::size_t{1} << 31, std::size_t{1} << 16, std::size_t{1} << 16) ==
             std::size_t{1} << 63);
  BOOST_TEST(checked_sum("x", std::size_t{1}, most - 1) == most);
}

BOOST_AUTO_TEST_CASE(what_wraps_is_an_error_with_its_factors) {
  const auto product =
      test::message_of<Error>([] { checked_product("a matrix", std::size_t{1} << 60, std::size_t{16}); });
  BOOST_TEST(product == "a matrix: 1152921504606846976 * 16 is more than a computer can count");
  BOOST_TEST(test::message_of<UsageError>([] {
               checked_product<UsageError>("--x", most, std::size_t{1}, std::size_t{2});
             }) == concat("--x: ", most, " * 1 * 2 is more than a computer can count"));
  BOOST_TEST(test::message_of<Error>([] { checked_sum("rows", most, std::size_t{1}); }) ==
             concat("rows: ", most, " + 1 is more than a computer can count"));
  // The last product alone would fit.
  BOOST_CHECK_THROW(checked_product("x", std::size_t{1} << 40, std::size_t{1} << 40, std::size_t{0}), Error);
}

BOOST_AUTO_TEST_SUITE_END()
