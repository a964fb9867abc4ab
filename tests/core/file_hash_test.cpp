#include "demix/core/file_hash.hpp"

#include "temporary_folder.hpp"
#include "testing.hpp"

BOOST_AUTO_TEST_SUITE(file_hash)

BOOST_AUTO_TEST_CASE(of_a_text_is_the_published_one) {
  BOOST_TEST(demix::hash_digits(demix::fnv1a("")) == "cbf29ce484222325");
  BOOST_TEST(demix::hash_digits(demix::fnv1a("a")) == "af63dc4c8601ec8c");
}

BOOST_AUTO_TEST_CASE(is_that_of_the_bytes_however_long) {
  const demix::test::TemporaryFolder folder;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{5}, std::size_t{1} << 20, (std::size_t{2} << 20) + 3}) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(i * 7 + i / 1000);
    const auto path = folder.path / std::to_string(size);
    std::ofstream(path, std::ios::binary) << bytes;
    BOOST_TEST(demix::hash_of_file(path) == demix::fnv1a(bytes));
    BOOST_TEST(demix::hash_of_file(path, demix::fnv1a("before")) == demix::fnv1a("before" + bytes));
  }
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_is_an_error) {
  const demix::test::TemporaryFolder folder;
  BOOST_CHECK_THROW(demix::hash_of_file(folder.path / "none"), demix::Error);
  BOOST_CHECK_THROW(demix::hash_of_file(folder.path), demix::Error);
}

BOOST_AUTO_TEST_SUITE_END()
