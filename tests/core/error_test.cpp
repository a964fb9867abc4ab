#include "demix/core/error.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <filesystem>
#include <limits>
#include <sstream>
#include <system_error>
#include <vector>

#include "allocations.hpp"

using namespace demix;
using testing::allocations_of;

namespace {

template <class... Parts>
std::string message_of(const Parts&... parts) {
  try {
    require(false, parts...);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(error)

BOOST_AUTO_TEST_CASE(parts_of_any_kind_become_text) {
  const std::filesystem::path path = "/a b/c";
  const auto code = std::make_error_code(std::errc::no_such_file_or_directory);
  BOOST_TEST(message_of("rows ", 3, ' ', -1.5, ' ', true, std::string(" of "), std::string_view("x")) ==
             "rows 3 -1.5 1 of x");
  BOOST_TEST(message_of(path, ": ", code) == "/a b/c: No such file or directory");
  BOOST_TEST(message_of([] { return 7; }, " ", [&] { return path / "d"; }) == "7 /a b/c/d");
  BOOST_TEST(message_of() == "");
  BOOST_TEST(concat("'", path, "' ", 1) == "'/a b/c' 1");
}

template <class Number>
void check_as_streams_write(Number number) {
  std::ostringstream stream;
  stream << number;
  BOOST_TEST(concat(number) == stream.str());
}

BOOST_AUTO_TEST_CASE(numbers_are_written_as_streams_write_them) {
  for (const double number :
       std::vector<double>{0.0, -0.0, 0.1, 1.0 / 3, -2.5, 100.0, 123456.0, 1234567.0, 999999.5, 1e-4, 1e-5,
                           1e20, 5e-324, 0.30000001, HUGE_VAL, -HUGE_VAL, NAN}) {
    check_as_streams_write(number);
    check_as_streams_write(static_cast<float>(number));
    check_as_streams_write(static_cast<long double>(number));
  }
  check_as_streams_write(std::numeric_limits<double>::max());
  const auto check_limits = []<class T>(T) {
    check_as_streams_write(std::numeric_limits<T>::lowest());
    check_as_streams_write(std::numeric_limits<T>::max());
  };
  check_limits(short{});
  check_limits(0);
  check_limits(0u);
  check_limits(0l);
  check_limits(std::size_t{});
  check_limits(0ll);
  BOOST_TEST(concat(true, false, 'c') == "10c");
}

BOOST_AUTO_TEST_CASE(a_part_is_computed_for_the_message_only) {
  int calls = 0;
  const auto part = [&] { return ++calls; };
  require(true, "part ", part);
  BOOST_TEST(calls == 0);
  BOOST_CHECK_EXCEPTION(require(false, "part ", part), Error,
                        [](const Error& error) { return error.what() == std::string("part 1"); });
  BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(a_check_that_holds_allocates_nothing) {
  const std::filesystem::path path(std::string(200, 'p'));
  const std::string text(200, 't');
  const auto code = std::make_error_code(std::errc::io_error);
  const auto check = [&](bool condition) {
    require(condition, path, ": ", text, " ", code, " ", 3, [&] { return path.string() + text; });
  };
  BOOST_TEST(allocations_of([&] { check(true); }) == 0u);
  BOOST_TEST(allocations_of([&] { BOOST_CHECK_THROW(check(false), Error); }) > 0u);
  BOOST_TEST(allocations_of([&] { static_cast<void>(path.string()); }) == 1u);
}

BOOST_AUTO_TEST_CASE(a_temporary_that_owns_memory_is_refused) {
  using error_detail::is_free;
  static_assert(!is_free<std::string> && !is_free<const std::string> && !is_free<std::filesystem::path>);
  static_assert(is_free<std::string&> && is_free<const std::filesystem::path&> && is_free<std::string_view>);
  static_assert(is_free<const char(&)[5]> && is_free<double> && is_free<std::error_code>);
}

BOOST_AUTO_TEST_CASE(wrong_usage_is_an_error_too) { BOOST_CHECK_THROW(throw UsageError("--x"), Error); }

BOOST_AUTO_TEST_SUITE_END()
