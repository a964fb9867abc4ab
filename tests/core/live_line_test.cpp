#include "demix/core/live_line.hpp"

#include <pty.h>

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>

#include "demix/core/error.hpp"

using namespace demix;

namespace {

/// Puts stderr somewhere else while it lives.
class Redirected {
 public:
  explicit Redirected(int to) : saved_(::dup(STDERR_FILENO)) {
    std::fflush(stderr);
    require(saved_ >= 0 && ::dup2(to, STDERR_FILENO) >= 0, "cannot redirect stderr");
  }
  ~Redirected() {
    std::fflush(stderr);
    ::dup2(saved_, STDERR_FILENO);
    ::close(saved_);
  }

 private:
  int saved_;
};

/// What a LiveLine writes into one end of a pipe or terminal, read at the other.
std::string written(int into, int from) {
  {
    const Redirected redirected(into);
    LiveLine line;
    line.show("one");
    line.show("two");
    line.message("stays");
    line.show("three");
  }
  std::array<char, 200> buffer{};
  const auto got = ::read(from, buffer.data(), buffer.size());
  ::close(into);
  ::close(from);
  return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(live_line)

BOOST_AUTO_TEST_CASE(elsewhere_each_is_a_line) {
  std::array<int, 2> ends{};
  BOOST_REQUIRE(::pipe(ends.data()) == 0);
  BOOST_TEST(written(ends[1], ends[0]) == "one\ntwo\nstays\nthree\n");
}

BOOST_AUTO_TEST_CASE(on_a_terminal_a_line_takes_the_place_of_the_one_before) {
  int controller = -1, terminal = -1;
  if (::openpty(&controller, &terminal, nullptr, nullptr, nullptr) != 0) {
    BOOST_TEST_MESSAGE("skipped: no pseudo-terminals here");
    return;
  }
  const std::string gone = "\r\033[K";
  BOOST_TEST(written(terminal, controller) == "one" + gone + "two" + gone + "stays\r\nthree" + gone);
}

BOOST_AUTO_TEST_SUITE_END()
