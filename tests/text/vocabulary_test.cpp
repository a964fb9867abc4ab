#include "demix/text/vocabulary.hpp"

#include <cstdlib>

#include "demix/text/vocabulary_fingerprint.hpp"
#include "text/small_vocabulary.hpp"

using namespace demix;
using namespace demix::test;

namespace {

/// The folder of GPT-2's vocabulary: $DEMIX_GPT2_BPE_DIR, or shared data beside the sources; empty when
/// absent.
fs::path gpt2_folder() {
  const char* chosen = std::getenv("DEMIX_GPT2_BPE_DIR");
  const fs::path folder = chosen ? fs::path(chosen) : fs::path(DEMIX_SOURCE_DIR) / "../shared/data/gpt2_bpe";
  if (fs::exists(folder / "encoder.json")) return folder;
  BOOST_TEST_MESSAGE("skipped: no GPT-2 vocabulary in " << folder << "; DEMIX_GPT2_BPE_DIR names its folder");
  return {};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(vocabulary)

BOOST_FIXTURE_TEST_CASE(dict_txt_numbers_the_symbols, SmallVocabulary) {
  merges = {{"h", "i"}};
  load();
  write_file(path / "dict.txt", "256 9\n0 8\nmadeupword0000 0\n");  // "hi", "!"
  const text::Vocabulary vocabulary(text::VocabularyFiles::in(path));
  text::TextEncoder encoder(vocabulary);
  std::vector<Token> tokens{9};
  encoder.encode("hi!?", tokens);
  BOOST_TEST(tokens == (std::vector<Token>{9, 4, 5, unk_token}), boost::test_tools::per_element());
  BOOST_TEST(vocabulary.decode(std::vector<Token>{5, 4, 4}) == "!hihi");
  check_mentions(error_of([&] { vocabulary.decode(std::vector<Token>{unk_token}); }), {"<unk>", "no text"});
  check_mentions(error_of([&] { vocabulary.decode(std::vector<Token>{6}); }), {"madeupword0000"});
  check_mentions(error_of([&] { vocabulary.decode(std::vector<Token>{7}); }), {"7"});
}

BOOST_FIXTURE_TEST_CASE(the_fingerprint_sees_what_symbols_stand_for, SmallVocabulary) {
  using Merges = std::vector<std::pair<std::string, std::string>>;
  const auto fingerprint = [&](const Merges& chosen, const std::string& dict = "256 9\n257 8\n0 7\n") {
    merges = chosen;
    load();
    write_file(path / "dict.txt", dict);
    return text::vocabulary_fingerprint(path);
  };
  const auto reference = fingerprint({{"h", "i"}, {"l", "o"}});
  BOOST_TEST(reference.size() == 33u);
  BOOST_TEST(fingerprint({{"h", "i"}, {"l", "o"}}) == reference);
  BOOST_TEST(!text::vocabularies_agree(fingerprint({{"h", "i"}, {"l", "i"}}), reference));  // another symbol
  BOOST_TEST(
      !text::vocabularies_agree(fingerprint({{"l", "o"}, {"h", "i"}}), reference));  // and another order
  BOOST_TEST(
      !text::vocabularies_agree(fingerprint({{"a", "b"}, {"b", "c"}, {"ab", "c"}}),
                                fingerprint({{"a", "b"}, {"b", "c"}, {"a", "bc"}})));  // the same symbols
  BOOST_TEST(
      !text::vocabularies_agree(fingerprint({{"h", "i"}, {"l", "o"}}, "257 9\n256 8\n0 7\n"), reference));
  fs::remove(path / "vocab.bpe");
  const auto unknown = text::vocabulary_fingerprint(path);
  BOOST_TEST(unknown.size() == 16u);
}

BOOST_AUTO_TEST_CASE(gpt2_ids_are_those_recorded) {
  const auto folder = gpt2_folder();
  if (folder.empty()) return;
  const text::Vocabulary vocabulary(text::VocabularyFiles::in(folder));
  text::TextEncoder encoder(vocabulary);
  // Recorded from Hugging Face's tokenizers 0.23.3 (ByteLevelBPETokenizer) with the same two files.
  const std::vector<std::pair<std::string, std::vector<int>>> recorded{
      // clang-format off
      {"Hello world", {15496, 995}},
      {"<|endoftext|> It's", {27, 91, 437, 1659, 5239, 91, 29, 632, 338}},
      {"we'll they've I'm he'd you're can't 'S", {732, 1183, 484, 1053, 314, 1101, 339, 1549, 345, 821, 460, 470, 705, 50}},
      {"  two  spaces\012\012\011and tabs \012", {220, 734, 220, 9029, 628, 197, 392, 22524, 220, 198}},
      {"3.14159 and \302\275 \302\262 \342\205\247 \331\243", {18, 13, 1415, 19707, 290, 25208, 1587, 110, 2343, 227, 100, 18923, 96}},
      {"na\303\257ve caf\303\251 e\314\201a\314\210", {2616, 38776, 40304, 304, 136, 223, 64, 136, 230}},
      {"\346\227\245\346\234\254\350\252\236\343\201\256\343\203\206\343\202\255\343\202\271\343\203\210 \355\225\234\352\265\255\354\226\264", {33768, 98, 17312, 105, 45739, 252, 5641, 24336, 25084, 43302, 220, 47991, 250, 166, 113, 255, 168, 244, 112}},
      {"\360\237\221\251\342\200\215\360\237\221\251\342\200\215\360\237\221\247 \360\237\230\200\360\237\221\215\360\237\217\275", {41840, 102, 447, 235, 41840, 102, 447, 235, 41840, 100, 30325, 222, 41840, 235, 8582, 237, 121}},
      {"a\302\240b\343\200\200c\341\232\200d\341\240\216e\342\200\213f\342\200\250g\302\205h", {64, 1849, 65, 5099, 222, 66, 157, 248, 222, 67, 157, 254, 236, 68, 9525, 69, 447, 101, 70, 126, 227, 71}},
      {"if (x != 0) { return --y; } // ????", {361, 357, 87, 14512, 657, 8, 1391, 1441, 1377, 88, 26, 1782, 3373, 220, 9805}},
      {"", {}},
      {"antidisestablishmentarianismantidisestablishmentarianism", {415, 29207, 44390, 3699, 1042, 415, 29207, 44390, 3699, 1042}},
      {" \302\240\342\200\211x", {5624, 447, 231, 87}},
      {std::string("\000\001\034\035 z", 6), {188, 189, 216, 217, 1976}},
      {"========================================================================", {23926, 2559}},
      // clang-format on
  };
  for (const auto& [text, ids] : recorded) {
    std::vector<Token> tokens, expected;
    encoder.encode(text, tokens);
    for (const int id : ids) expected.push_back(vocabulary.dictionary().id(std::to_string(id)));
    BOOST_TEST(tokens == expected, boost::test_tools::per_element());
    BOOST_TEST(vocabulary.decode(tokens) == text);
  }
  BOOST_TEST(vocabulary.dictionary().size() == 50264u);
  BOOST_TEST(vocabulary.dictionary().id("13") == 4);
}

BOOST_AUTO_TEST_SUITE_END()
