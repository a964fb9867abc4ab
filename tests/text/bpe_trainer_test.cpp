#include "demix/text/bpe_trainer.hpp"

#include <map>
#include <random>

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;
using text::BpeTrainer;

namespace {

/// Trains, and returns the merges as written to vocab.bpe.
std::vector<std::string> merges_of(const fs::path& folder, const std::vector<std::string>& texts,
                                   std::size_t symbols) {
  BpeTrainer trainer;
  for (const auto& text : texts) trainer.add(text);
  trainer.train(symbols);
  trainer.save(text::VocabularyFiles::in(folder));
  std::istringstream lines(read_file(folder / "vocab.bpe"));
  std::vector<std::string> result;
  for (std::string line; std::getline(lines, line);) result.push_back(line);
  BOOST_REQUIRE(result.at(0) == "#version: 0.2");
  result.erase(result.begin());
  return result;
}

/// The same by definition: all pairs are counted anew before every merge.
std::vector<std::string> naive_merges(const std::vector<std::string>& words, std::size_t count) {
  const text::ByteAlphabet alphabet;
  std::map<std::string, std::size_t> ids;
  std::vector<std::string> symbols;
  for (const unsigned char byte : alphabet.order()) {
    symbols.emplace_back(1, static_cast<char>(byte));
    ids[symbols.back()] = symbols.size() - 1;
  }
  std::vector<std::vector<std::size_t>> spelled;
  for (const auto& word : words) {
    spelled.emplace_back();
    for (const char c : word) spelled.back().push_back(ids[std::string(1, c)]);
  }
  std::vector<std::string> merges;
  while (symbols.size() < 256 + count) {
    std::map<std::pair<std::size_t, std::size_t>, std::size_t> pairs;
    for (const auto& word : spelled)
      for (std::size_t i = 0; i + 1 < word.size(); ++i) ++pairs[{word[i], word[i + 1]}];
    std::pair<std::size_t, std::size_t> best;
    std::size_t most = 1;
    for (const auto& [pair, n] : pairs)
      if (n > most) {
        best = pair;
        most = n;
      }
    if (most == 1) break;
    merges.push_back(alphabet.spell(symbols[best.first]) + " " + alphabet.spell(symbols[best.second]));
    const std::string merged = symbols[best.first] + symbols[best.second];
    if (ids.emplace(merged, symbols.size()).second) symbols.push_back(merged);
    for (auto& word : spelled) {
      std::vector<std::size_t> next;
      for (std::size_t i = 0; i < word.size(); ++i)
        if (i + 1 < word.size() && word[i] == best.first && word[i + 1] == best.second)
          next.push_back(ids[merged]), ++i;
        else
          next.push_back(word[i]);
      word = next;
    }
  }
  return merges;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(bpe_trainer)

BOOST_FIXTURE_TEST_CASE(merges_by_hand, TemporaryFolder) {
  // Pairs: (l,o) 3, (o,w) 3, (w,e) 2, (e,r) 1...; ties go to the lower ids, and l < o.
  BOOST_TEST(merges_of(path, {"low,lower-lowe"}, 259) == (std::vector<std::string>{"l o", "lo w", "low e"}),
             boost::test_tools::per_element());
  // The space belongs to the word behind it.
  BOOST_TEST(merges_of(path, {" x x x"}, 257) == (std::vector<std::string>{"\304\240 x"}),
             boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(equals_the_definition_on_random_words, TemporaryFolder) {
  std::mt19937 random(4);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::string> words(1 + random() % 60);
    std::string text;
    for (auto& word : words) {
      const std::size_t letters = 1 + random() % 12;
      // Letters and signs alternate, so that pre-tokenization gives back the words.
      const bool signs = !text.empty() && std::isalpha(static_cast<unsigned char>(text.back()));
      for (std::size_t i = 0; i < letters; ++i) word += signs ? "-+="[random() % 3] : "abc"[random() % 3];
      text += word;
    }
    BOOST_REQUIRE(merges_of(path, {text}, 256 + 60) == naive_merges(words, 60));
  }
}

BOOST_FIXTURE_TEST_CASE(stops_when_no_pair_occurs_twice, TemporaryFolder) {
  BpeTrainer trainer;
  trainer.add("abab cd");
  BOOST_TEST(trainer.train(1000) == 257u);
}

BOOST_FIXTURE_TEST_CASE(the_files_read_back_and_count_the_sample, TemporaryFolder) {
  const std::string text = "the cat, the hat \"quoted\" \\ \xff\xfe \342\202\254\n\tthe end";
  merges_of(path, {text, text}, 300);
  const text::Vocabulary vocabulary(text::VocabularyFiles::in(path));
  text::TextEncoder encoder(vocabulary);
  std::vector<Token> tokens;
  encoder.encode(text, tokens);
  BOOST_TEST(vocabulary.decode(tokens) == text);
  BOOST_TEST(tokens.size() < text.size());
  // dict.txt: every symbol, in order, how often it occurs in the sample.
  std::map<Token, std::size_t> counts;
  for (const Token token : tokens) counts[token] += 2;
  std::istringstream lines(read_file(path / "dict.txt"));
  std::size_t id, count, n = 0;
  for (; lines >> id >> count; ++n) {
    BOOST_REQUIRE(id == n);
    BOOST_TEST(count == counts[static_cast<Token>(id) + 4]);
  }
  BOOST_TEST(n == vocabulary.bpe().size());
}

BOOST_FIXTURE_TEST_CASE(does_not_depend_on_how_the_sample_is_cut, TemporaryFolder) {
  std::mt19937 random(5);
  std::vector<std::string> texts(50);
  std::string joined;
  for (auto& text : texts) {
    for (int i = 0; i < 40; ++i) text += "abcd e"[random() % 6];
    text += "\nx";
    joined += text;
  }
  std::vector<std::string> reversed(texts.rbegin(), texts.rend());
  BOOST_TEST(merges_of(path, texts, 330) == merges_of(path, reversed, 330), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(very_long_pieces_take_no_long_time, TemporaryFolder) {
  std::mt19937 random(6);
  std::string blob(std::size_t{1} << 20, ' ');
  for (char& c : blob) c = static_cast<char>('a' + random() % 26);
  BpeTrainer trainer;
  trainer.add(blob);
  BOOST_TEST(trainer.train(1000) == 1000u);
}

BOOST_AUTO_TEST_CASE(fewer_symbols_than_bytes_are_refused) {
  BpeTrainer trainer;
  trainer.add("abc");
  check_mentions(error_of([&] { trainer.train(255); }), {"255", "256"});
}

BOOST_AUTO_TEST_SUITE_END()
