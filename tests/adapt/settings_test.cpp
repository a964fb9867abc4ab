#include "demix/adapt/settings.hpp"

#include <boost/test/unit_test.hpp>

using namespace demix;

BOOST_AUTO_TEST_SUITE(adapt_settings)

BOOST_AUTO_TEST_CASE(modes_have_names) {
  BOOST_TEST(adapt::name_of(adapt::Mode::feedforward) == std::string("feedforward"));
  BOOST_TEST(adapt::name_of(adapt::Mode::full) == std::string("full"));
}

BOOST_AUTO_TEST_CASE(the_recipe_is_a_tenth_of_the_base_in_ten_parts) {
  const auto check = [](std::uint64_t step, std::optional<std::uint64_t> given, std::uint64_t updates,
                        std::uint64_t interval) {
    checkpoint::Metadata base;
    base.step = step;
    const auto recipe = adapt::recipe(base, given);
    BOOST_TEST(recipe.max_update == updates);
    BOOST_TEST(recipe.validate_interval == interval);
    BOOST_TEST(recipe.save_interval == interval);
  };
  check(300000, {}, 30000, 3000);
  check(1999, {}, 199, 19);
  check(3, {}, 1, 1);  // at least one of each
  check(0, {}, 1, 1);
  check(300000, 57, 57, 5);
  check(3, 7, 7, 1);
}

BOOST_AUTO_TEST_SUITE_END()
