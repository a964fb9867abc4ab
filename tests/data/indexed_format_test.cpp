#include "demix/data/indexed_format.hpp"

#include <boost/test/unit_test.hpp>
#include <type_traits>

using namespace demix::data::indexed_format;

BOOST_AUTO_TEST_SUITE(indexed_format)

BOOST_AUTO_TEST_CASE(fields_follow_each_other) {
  BOOST_TEST(version_offset == sizeof magic);
  BOOST_TEST(type_offset == version_offset + sizeof version);
  BOOST_TEST(count_offset == type_offset + sizeof(ElementType));
  BOOST_TEST(header_size == count_offset + sizeof(std::uint64_t));
  BOOST_TEST(index_bytes_per_document == 12u);
}

BOOST_AUTO_TEST_CASE(a_type_is_its_code_width_and_sign) {
  const auto check = [](std::uint8_t code, std::size_t bytes, bool has_sign) {
    const auto type = static_cast<ElementType>(code);
    BOOST_TEST(width(type) == bytes);
    BOOST_TEST(with_type(type, [](auto element) { return std::is_signed_v<decltype(element)>; }) == has_sign);
  };
  check(1, 1, false);
  check(2, 1, true);
  check(3, 2, true);
  check(4, 4, true);
  check(5, 8, true);
  check(8, 2, false);
}

BOOST_AUTO_TEST_CASE(the_vocabulary_chooses_the_type) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{65499}})
    BOOST_TEST((type_for_vocabulary(size) == ElementType::u16));
  for (const std::size_t size : {std::size_t{65500}, std::size_t{1000000}})
    BOOST_TEST((type_for_vocabulary(size) == ElementType::i32));
}

BOOST_AUTO_TEST_CASE(a_suffix_is_added_and_replaces_nothing) {
  BOOST_TEST(with_suffix("a/b.train", ".idx") == "a/b.train.idx");
}

BOOST_AUTO_TEST_SUITE_END()
