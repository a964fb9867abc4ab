#include "demix/core/memory_limit.hpp"

#include <sys/resource.h>

#include <limits>

#include "messages.hpp"
#include "testing.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(memory)

BOOST_AUTO_TEST_CASE(bytes_as_text) {
  BOOST_TEST(bytes_text(1000) == "1000 bytes");
  BOOST_TEST(bytes_text(1536) == "1536 bytes (1.5 KiB)");
  BOOST_TEST(bytes_text(1610612736) == "1610612736 bytes (1.5 GiB)");
}

BOOST_AUTO_TEST_CASE(memory_that_there_is_and_is_not) {
  BOOST_TEST(memory_limit() > 1e6);
  BOOST_TEST(memory_limit() < 1e18);
  require_memory(1e6, "a little");
  require_memory(memory_limit(), "all of it");
  const auto error =
      test::message_of<UsageError>([] { require_memory<UsageError>(1e20, "--layers ", 9, ": training"); });
  BOOST_TEST(error.starts_with(
      "--layers 9: training needs at least 100000000000000000000 bytes (86.7 EiB) of memory"));
  BOOST_CHECK_THROW(require_memory(std::numeric_limits<double>::infinity(), "x"), Error);
}

BOOST_AUTO_TEST_CASE(a_limit_of_the_shell_counts) {
  rlimit before{};
  BOOST_TEST_REQUIRE(getrlimit(RLIMIT_AS, &before) == 0);
  const rlimit low{rlim_t{1} << 40, before.rlim_max};
  if (before.rlim_max != RLIM_INFINITY || setrlimit(RLIMIT_AS, &low) != 0) return;
  BOOST_TEST(memory_limit() <= 1099511627776.0);
  BOOST_TEST(setrlimit(RLIMIT_AS, &before) == 0);
}

BOOST_AUTO_TEST_SUITE_END()
