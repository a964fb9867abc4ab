#include "demix/train/training_data.hpp"

#include <boost/test/unit_test.hpp>

#include "demix/core/error.hpp"

using namespace demix;

BOOST_AUTO_TEST_SUITE(training_data)

BOOST_AUTO_TEST_CASE(other_text_is_refused_with_its_domain_and_split) {
  const nlohmann::json law{{"train", {{"tokens", 5}}}, {"valid", {{"tokens", 2}}}},
      code{{"train", {{"tokens", 6}}}, {"valid", {{"tokens", 2}}}}, begun{{"law", law}, {"code", code}};
  const auto message = [&](const nlohmann::json& now) -> std::string {
    try {
      train::require_same_text("run/checkpoint_2", begun, "bin", now);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  BOOST_TEST(message(begun) == "no error");
  auto changed = begun;
  changed["law"]["valid"]["tokens"] = 3;
  BOOST_TEST(has(message(changed), "run/checkpoint_2: its valid text of domain 'law' is\n  {\"tokens\":2}"));
  BOOST_TEST(has(message(changed), "that of bin is\n  {\"tokens\":3}"));
  BOOST_TEST(has(message({{"law", code}, {"code", law}}), "its train text of domain 'code'"));
  BOOST_TEST(has(message({{"law", law}, {"more", code}}), "its train text of domain 'more' is\n  null"));
}

BOOST_AUTO_TEST_CASE(a_run_that_did_not_record_its_text_goes_on) {
  train::require_same_text("run/checkpoint_2", nullptr, "bin", {{"law", {{"train", 1}}}});
}

BOOST_AUTO_TEST_SUITE_END()
