#include "demix/core/json_text.hpp"

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_SUITE(json_texts)

BOOST_AUTO_TEST_CASE(names_that_are_no_utf8_are_written) {
  const nlohmann::ordered_json json{{"file", "caf\xe9"}, {"n", 1}};
  BOOST_TEST(demix::json_text(json) == "{\"file\":\"caf\xef\xbf\xbd\",\"n\":1}");
  BOOST_TEST(demix::json_text(json, 2) == "{\n  \"file\": \"caf\xef\xbf\xbd\",\n  \"n\": 1\n}");
}

BOOST_AUTO_TEST_SUITE_END()
