#include "demix/text/vocabulary_fingerprint.hpp"

#include <boost/test/unit_test.hpp>

using namespace demix;

BOOST_AUTO_TEST_SUITE(vocabulary_fingerprint)

BOOST_AUTO_TEST_CASE(all_that_both_know_must_be_equal) {
  BOOST_TEST(text::vocabularies_agree("d", "d"));
  BOOST_TEST(text::vocabularies_agree("d+b", "d+b"));
  BOOST_TEST(text::vocabularies_agree("d", "d+b"));
  BOOST_TEST(text::vocabularies_agree("d+b", "d"));
  BOOST_TEST(!text::vocabularies_agree("d+b", "d+c"));
  BOOST_TEST(!text::vocabularies_agree("d", "e"));
  BOOST_TEST(!text::vocabularies_agree("d+b", "e+b"));
  BOOST_TEST(!text::vocabularies_agree("d+b", "e"));
  BOOST_TEST(!text::vocabularies_agree("d", "dd"));
}

BOOST_AUTO_TEST_CASE(the_fuller_one_is_kept) {
  BOOST_TEST(text::require_same_vocabulary({"x", "d"}, {"y", "d"}) == "d");
  BOOST_TEST(text::require_same_vocabulary({"x", "d"}, {"y", "d+b"}) == "d+b");
  BOOST_TEST(text::require_same_vocabulary({"x", "d+b"}, {"y", "d"}) == "d+b");
}

BOOST_AUTO_TEST_CASE(a_refusal_names_both_and_what_differs) {
  const auto message = [](const std::string& a, const std::string& b) -> std::string {
    try {
      text::require_same_vocabulary({"bin", a}, {"run", b});
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  const auto merges = message("d+b", "d+c"), symbols = message("d", "e+c");
  BOOST_TEST(has(merges, "the vocabulary of bin (fingerprint d+b) is not that of run (d+c)"));
  BOOST_TEST(has(merges, "stand for other text"));
  BOOST_TEST(has(symbols, "(fingerprint d) is not that of run (e+c): dict.txt lists other symbols"));
  BOOST_TEST(has(symbols, "--reuse-vocabulary"));
}

BOOST_AUTO_TEST_SUITE_END()
