#include "demix/core/input_file.hpp"

#include <atomic>
#include <memory>
#include <thread>

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;

namespace {

/// Byte i is this.
char byte_at(std::size_t i) { return static_cast<char>(i * 131 + i / 256 * 17); }

std::string bytes_from(std::size_t first, std::size_t length) {
  std::string bytes;
  for (std::size_t i = first; i < first + length; ++i) bytes += byte_at(i);
  return bytes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(input_files)

BOOST_FIXTURE_TEST_CASE(any_place_can_be_read_in_any_order, TemporaryFolder) {
  const InputFile file(write_file(path / "x", bytes_from(0, 1000)));
  BOOST_TEST(file.name() == (path / "x").string());
  BOOST_TEST(file.size() == 1000u);
  for (const auto& [offset, length] : std::vector<std::pair<std::size_t, std::size_t>>{
           {990, 10}, {0, 1000}, {500, 1}, {0, 0}, {1000, 0}, {500, 1}})
    BOOST_TEST(file.read(offset, length) == bytes_from(offset, length));
  std::string to(6, '!');
  file.read(7, to.data() + 1, 4);
  BOOST_TEST(to == concat("!", bytes_from(7, 4), "!"));
}

BOOST_FIXTURE_TEST_CASE(two_threads_read_at_their_places, TemporaryFolder) {
  const std::string bytes = bytes_from(0, 1 << 16);
  const InputFile file(write_file(path / "x", bytes));
  std::atomic<int> ready = 0;
  std::size_t wrong[2] = {0, 0};
  const auto read_all = [&](std::size_t which) {
    for (++ready; ready < 2;) std::this_thread::yield();
    for (std::size_t n = 0; n < 50000; ++n) {
      const std::size_t offset = n * (which ? 7919 : 104729) % (bytes.size() - 64);
      wrong[which] += file.read(offset, 64) != std::string_view(bytes).substr(offset, 64);
    }
  };
  std::thread first(read_all, 0), second(read_all, 1);
  first.join();
  second.join();
  BOOST_TEST(wrong[0] == 0u);
  BOOST_TEST(wrong[1] == 0u);
}

BOOST_FIXTURE_TEST_CASE(what_is_behind_the_end_is_an_error_that_says_where_it_is, TemporaryFolder) {
  const InputFile file(write_file(path / "x", bytes_from(0, 10)), "the text");
  check_mentions(error_of([&] { file.read(8, 3); }), {"the text", "ends at byte 10", "expected 11"});
  check_mentions(error_of([&] { file.read(20, 1); }), {"ends at byte 10", "expected 21"});
  BOOST_TEST(file.read(8, 2) == bytes_from(8, 2));
}

BOOST_FIXTURE_TEST_CASE(a_file_that_is_cut_short_while_it_is_open_is_an_error, TemporaryFolder) {
  const auto name = write_file(path / "x", bytes_from(0, 100000));
  const InputFile file(name);
  BOOST_TEST(file.read(99990, 10) == bytes_from(99990, 10));
  fs::resize_file(name, 50000);
  BOOST_TEST(file.size() == 50000u);
  check_mentions(error_of([&] { file.read(99990, 10); }),
                 {name.string(), "ends at byte 50000", "expected 100000", "was it changed meanwhile?"});
  check_mentions(error_of([&] { file.read(49999, 2); }), {"ends at byte 50000", "expected 50001"});
  BOOST_TEST(file.read(49990, 10) == bytes_from(49990, 10));
}

BOOST_FIXTURE_TEST_CASE(a_file_that_is_missing_or_is_none, TemporaryFolder) {
  check_mentions(error_of([&] { InputFile(path / "missing"); }),
                 {"cannot open '" + (path / "missing").string() + "'", "No such file"});
  check_mentions(error_of([&] { InputFile(path / "missing", "the index"); }), {"cannot open 'the index'"});
  const InputFile folder(path);
  check_mentions(error_of([&] { folder.size(); }), {path.string(), "is not a regular file"});
  check_mentions(error_of([&] { folder.read(0, 1); }), {"cannot read", path.string(), "directory"});
  const InputFile null("/dev/null");
  check_mentions(error_of([&] { null.size(); }), {"/dev/null", "is not a regular file"});
}

BOOST_FIXTURE_TEST_CASE(a_file_that_is_moved_is_still_open, TemporaryFolder) {
  auto first = std::make_unique<InputFile>(write_file(path / "x", "abc"));
  InputFile moved(std::move(*first));
  first.reset();
  BOOST_TEST(moved.read(1, 2) == "bc");
  InputFile other(write_file(path / "y", "defg"));
  other = std::move(moved);
  BOOST_TEST(other.name() == (path / "x").string());
  BOOST_TEST(other.read(0, 3) == "abc");
  fs::remove(path / "x");
  BOOST_TEST(other.read(0, 3) == "abc");
}

BOOST_AUTO_TEST_SUITE_END()
