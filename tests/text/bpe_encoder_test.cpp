#include "demix/text/bpe_encoder.hpp"

#include <map>
#include <random>

#include "text/small_vocabulary.hpp"

using namespace demix;
using namespace demix::test;
using text::BpeId;
using text::BytePairEncoder;

namespace {

/// The definition: again and again, the pair of the lowest rank merges everywhere, from left to right.
std::vector<std::string> naive_encode(const std::vector<std::pair<std::string, std::string>>& merges,
                                      const std::string& piece) {
  std::vector<std::string> symbols;
  for (const char c : piece) symbols.emplace_back(1, c);
  for (const auto& [left, right] : merges) {
    std::vector<std::string> merged;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      if (i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right)
        merged.push_back(left + symbols[++i]);
      else
        merged.push_back(symbols[i]);
    }
    symbols = merged;
  }
  return symbols;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(bpe_encoder)

BOOST_FIXTURE_TEST_CASE(merges_by_hand, SmallVocabulary) {
  merges = {{"l", "o"}, {"lo", "w"}, {"e", "r"}, {"a", "a"}};
  const auto bpe = load();
  BOOST_TEST(bpe.size() == 260u);
  BytePairEncoder encoder(bpe);
  const auto check = [&](const std::string& piece, const std::vector<std::string>& expected) {
    BOOST_TEST(encode(encoder, bpe, piece) == expected, boost::test_tools::per_element());
    BOOST_TEST(encode(encoder, bpe, piece) == expected, boost::test_tools::per_element());  // from the cache
  };
  check("lower", {"low", "er"});
  check("aaa", {"aa", "a"});
  check("aaaa", {"aa", "aa"});
  check("", {});
  check("x", {"x"});
  check(std::string("\0\xff", 2), {std::string(1, '\0'), "\xff"});
}

BOOST_FIXTURE_TEST_CASE(equals_the_definition_on_random_merges, SmallVocabulary) {
  std::mt19937 random(2);
  for (int round = 0; round < 30; ++round) {
    merges.clear();
    std::vector<std::string> symbols{"a", "b", "c", " "};
    std::map<std::string, bool> known;
    while (merges.size() < 40) {
      const auto left = symbols[random() % symbols.size()], right = symbols[random() % symbols.size()];
      if (left.size() + right.size() > 8 || known[left + right]) continue;
      known[left + right] = true;
      merges.emplace_back(left, right);
      symbols.push_back(left + right);
    }
    const auto bpe = load();
    BytePairEncoder encoder(bpe);
    for (int i = 0; i < 60; ++i) {
      std::string piece(random() % 60, ' ');  // shorter and longer than the cache's entries
      for (char& c : piece) c = "abc "[random() % 4];
      BOOST_REQUIRE(encode(encoder, bpe, piece) == naive_encode(merges, piece));
      BOOST_REQUIRE(encode(encoder, bpe, piece) == naive_encode(merges, piece));
    }
  }
}

BOOST_FIXTURE_TEST_CASE(the_cache_never_confuses_pieces, SmallVocabulary) {
  merges = {{"a", "b"}};
  const auto bpe = load();
  BytePairEncoder encoder(bpe);
  std::mt19937 random(3);
  for (int i = 0; i < 300000; ++i) {  // several times the cache's entries
    std::string piece(1 + random() % 12, ' ');
    for (char& c : piece) c = static_cast<char>("ab\0c"[random() % 4]);
    std::vector<BpeId> ids;
    encoder.encode(piece, ids);
    std::string decoded;
    for (const BpeId id : ids) decoded += bpe.bytes(id);
    BOOST_REQUIRE(decoded == piece);
  }
}

BOOST_FIXTURE_TEST_CASE(a_megabyte_of_one_piece_takes_no_quadratic_time, SmallVocabulary) {
  merges = {{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}};
  const auto bpe = load();
  BytePairEncoder encoder(bpe);
  std::vector<BpeId> ids;
  encoder.encode(std::string(std::size_t{1} << 20, 'a'), ids);
  BOOST_TEST(ids.size() == (std::size_t{1} << 17));
}

BOOST_AUTO_TEST_SUITE_END()
