#include "demix/prepare/text_hash.hpp"

#include <boost/test/unit_test.hpp>
#include <set>
#include <string>

using namespace demix;

BOOST_AUTO_TEST_SUITE(text_hashes)

BOOST_AUTO_TEST_CASE(hashes_tell_texts_apart) {
  std::set<prepare::TextHash> hashes;
  std::size_t texts = 0;
  for (std::size_t length = 0; length < 40; ++length)
    for (std::size_t changed = 0; changed <= length; ++changed) {
      std::string text(length, '\0');
      if (changed < length) text[changed] = 'x';
      hashes.insert(prepare::text_hash(text));
      ++texts;
    }
  BOOST_TEST(hashes.size() == texts);
  BOOST_TEST((prepare::text_hash("one two") == prepare::text_hash(std::string("one") + " two")));
}

BOOST_AUTO_TEST_SUITE_END()
