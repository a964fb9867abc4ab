#include "demix/core/place.hpp"

#include <boost/test/unit_test.hpp>

#include "temporary_folder.hpp"

namespace demix::test {
namespace fs = std::filesystem;

BOOST_AUTO_TEST_SUITE(paths)

BOOST_AUTO_TEST_CASE(lies_in_follows_links_and_needs_nothing_to_exist) {
  const TemporaryFolder temporary;
  const auto a = temporary.path / "a", link = temporary.path / "link";
  fs::create_directory(a);
  fs::create_symlink("a", link);
  for (const auto& inside :
       {a, link, a / "x" / "y", link / "x", temporary.path / "b" / ".." / "a" / "x", a / "."}) {
    BOOST_TEST(lies_in(inside, a), inside);
    BOOST_TEST(lies_in(inside, link), inside);
  }
  for (const auto& outside :
       {temporary.path, temporary.path / "ab", temporary.path / "b", a / "..", fs::path("/")})
    BOOST_TEST(!lies_in(outside, a), outside);
  const auto before = fs::current_path();
  fs::current_path(a);
  BOOST_TEST(lies_in("new/folder", a));
  BOOST_TEST(!lies_in("../new", a));
  fs::current_path(before);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
