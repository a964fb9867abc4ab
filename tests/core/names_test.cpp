#include "demix/core/names.hpp"

#include "testing.hpp"

using namespace demix;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(names)

BOOST_AUTO_TEST_CASE(edit_distances) {
  BOOST_TEST(edit_distance("", "") == 0u);
  BOOST_TEST(edit_distance("abc", "") == 3u);
  BOOST_TEST(edit_distance("", "abc") == 3u);
  BOOST_TEST(edit_distance("kitten", "sitting") == 3u);
  BOOST_TEST(edit_distance("sitting", "kitten") == 3u);
  BOOST_TEST(edit_distance("flaw", "lawn") == 2u);
  BOOST_TEST(edit_distance("same", "same") == 0u);
}

BOOST_AUTO_TEST_CASE(nearest_names) {
  const std::vector<std::string> names{"clip-norm", "lr", "max-update"};
  BOOST_TEST(nearest_name("clip-nrom", names) == "clip-norm");
  BOOST_TEST(nearest_name("max-updates", names) == "max-update");
  BOOST_TEST(nearest_name("something-else", names) == "");
  BOOST_TEST(nearest_name("x", {}) == "");
}

BOOST_AUTO_TEST_CASE(values_from_a_list) {
  BOOST_TEST(require_one_of("--activation", "relu", {"relu", "gelu"}) == "relu");
  BOOST_CHECK_EXCEPTION(
      require_one_of("--activation", "rleu", {"relu", "gelu"}), UsageError, [](const Error& error) {
        return contains(error.what(), "'rleu'") && contains(error.what(), "did you mean 'relu'") &&
               contains(error.what(), "relu gelu");
      });
}

BOOST_AUTO_TEST_CASE(lists) {
  BOOST_TEST(split_list("--experts", "law,code") == (std::vector<std::string>{"law", "code"}),
             boost::test_tools::per_element());
  BOOST_TEST(split_list("--experts", "law").size() == 1u);
  for (const char* text : {"", "law,", ",law", "a,,b"})
    BOOST_CHECK_EXCEPTION(split_list("--experts", text), UsageError, [](const Error& error) {
      return contains(error.what(), "--experts") && contains(error.what(), "empty item");
    });
}

BOOST_AUTO_TEST_SUITE_END()
