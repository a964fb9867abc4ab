#include <cstdlib>
#include <map>
#include <random>

#include "data/support.hpp"
#include "demix/text/vocabulary.hpp"
#include "demix/text/vocabulary_fingerprint.hpp"

using namespace demix;
using namespace demix::test;
using text::BpeId;
using text::ByteAlphabet;
using text::BytePairEncoder;
using text::BytePairEncoding;

namespace {

/// encoder.json and vocab.bpe with the 256 bytes and some merges, which are given as bytes.
struct SmallVocabulary : TemporaryFolder {
  std::vector<std::pair<std::string, std::string>> merges;

  BytePairEncoding load(const std::string& header = "#version: 0.2\n") {
    const ByteAlphabet alphabet;
    nlohmann::json ids = nlohmann::json::object();
    for (const unsigned char byte : alphabet.order()) ids.emplace(alphabet.spelling(byte), ids.size());
    std::string lines = header;
    for (const auto& [left, right] : merges) {
      ids.emplace(alphabet.spell(left + right), ids.size());
      lines += alphabet.spell(left) + " " + alphabet.spell(right) + "\n";
    }
    write_file(path / "encoder.json", ids.dump());
    write_file(path / "vocab.bpe", lines);
    return BytePairEncoding::load(path / "encoder.json", path / "vocab.bpe");
  }
};

std::vector<std::string> encode(BytePairEncoder& encoder, const BytePairEncoding& bpe,
                                const std::string& piece) {
  std::vector<BpeId> ids;
  encoder.encode(piece, ids);
  std::vector<std::string> symbols;
  for (const BpeId id : ids) symbols.push_back(bpe.bytes(id));
  return symbols;
}

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

BOOST_AUTO_TEST_SUITE(bpe)

BOOST_AUTO_TEST_CASE(the_byte_alphabet_is_that_of_gpt2) {
  const ByteAlphabet alphabet;
  BOOST_TEST(alphabet.spelling('A') == "A");
  BOOST_TEST(alphabet.spelling(' ') == "\304\240");   // U+0120
  BOOST_TEST(alphabet.spelling('\n') == "\304\212");  // U+010A
  BOOST_TEST(alphabet.spelling(0) == "\304\200");     // U+0100
  BOOST_TEST(alphabet.spelling(0x7f) == "\304\241");
  BOOST_TEST(alphabet.spelling(0xad) == "\305\203");  // U+0143, the last
  BOOST_TEST(alphabet.spelling(0xff) == "\303\277");
  BOOST_TEST(int{alphabet.order()[0]} == '!');
  BOOST_TEST(int{alphabet.order()[188]} == 0);
  BOOST_TEST(int{alphabet.order()[255]} == 0xad);
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  BOOST_TEST(alphabet.unspell(alphabet.spell(all)) == all);
  BOOST_TEST(alphabet.unspell("\342\202\254 a") == "\342\202\254 a");  // special symbols stand for themselves
}

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

BOOST_FIXTURE_TEST_CASE(hugging_face_files_have_no_version_line, SmallVocabulary) {
  merges = {{"#", "v"}, {"#v", "e"}};
  const auto bpe = load("");
  BytePairEncoder encoder(bpe);
  BOOST_TEST(encode(encoder, bpe, "#ve") == (std::vector<std::string>{"#ve"}),
             boost::test_tools::per_element());
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

BOOST_FIXTURE_TEST_CASE(damaged_vocabularies_are_refused, SmallVocabulary) {
  merges = {{"l", "o"}};
  load();
  const auto json = read_file(path / "encoder.json"), lines = read_file(path / "vocab.bpe");
  const auto message = [&](const std::string& encoder, const std::string& vocab) {
    write_file(path / "encoder.json", encoder);
    write_file(path / "vocab.bpe", vocab);
    return error_of([&] { BytePairEncoding::load(path / "encoder.json", path / "vocab.bpe"); });
  };
  check_mentions(message(json.substr(0, json.size() / 2), lines), {"encoder.json", "JSON"});
  check_mentions(message("[1]", lines), {"encoder.json", "JSON object"});
  check_mentions(message("{\"a\": 1}", lines), {"encoder.json", "byte 0"});
  check_mentions(message("{\"a\": -1}", lines), {"'a'", "-1"});
  check_mentions(message("{\"a\": 4000000000}", lines), {"'a'", "4000000000"});
  check_mentions(message("{\"a\": \"x\"}", lines), {"'a'"});
  check_mentions(message("{\"a\": 1, \"b\": 1}", lines), {"id 1 occurs twice"});
  check_mentions(message(json, lines + "l\n"), {"vocab.bpe:3", "two symbols"});
  check_mentions(message(json, lines + "l o w\n"), {"vocab.bpe:3", "two symbols"});
  check_mentions(message(json, lines + "lo w\n"), {"vocab.bpe:3", "'low'"});
  check_mentions(message(json, lines + "lq o\n"), {"vocab.bpe:3", "lq"});
  check_mentions(message(json, lines + "l o\n"), {"vocab.bpe", "twice"});
  check_mentions(error_of([&] { BytePairEncoding::load(path / "no.json", path / "vocab.bpe"); }),
                 {"no.json"});
  check_mentions(error_of([&] { BytePairEncoding::load(path / "encoder.json", path / "no.bpe"); }),
                 {"no.bpe"});
}

BOOST_FIXTURE_TEST_CASE(merges_of_windows_are_the_same, SmallVocabulary) {
  merges = {{"l", "o"}, {"lo", "w"}};
  const auto reference = load();
  auto lines = read_file(path / "vocab.bpe");
  for (std::size_t at = 0; (at = lines.find('\n', at)) != std::string::npos; at += 2)
    lines.insert(at, 1, '\r');
  for (const auto& text : {lines, "\xef\xbb\xbf" + lines}) {
    write_file(path / "vocab.bpe", text);
    BOOST_TEST((BytePairEncoding::load(path / "encoder.json", path / "vocab.bpe") == reference));
  }
}

BOOST_FIXTURE_TEST_CASE(tokenizer_json_holds_symbols_and_merges, SmallVocabulary) {
  merges = {{"l", "o"}, {"lo", "w"}};
  const auto reference = load();
  const auto vocab = nlohmann::json::parse(read_file(path / "encoder.json"));
  const auto tokenizer = path / "tokenizer.json";
  const auto write = [&](const std::string& list, const std::string& model = R"({"type": "BPE"})") {
    auto json = nlohmann::json::parse(R"({"version": "1.0", "truncation": null})");
    json["model"] = nlohmann::json::parse(model);
    json["model"]["vocab"] = vocab;
    json["model"]["merges"] = nlohmann::json::parse(list);
    write_file(tokenizer, json.dump());
  };
  const auto message = [&] {
    const auto text = error_of([&] { BytePairEncoding::load(tokenizer, ""); });
    BOOST_TEST(text.size() < 300u);
    return text;
  };
  const std::string strings = R"(["l o", "lo w"])", pairs = R"([["l", "o"], ["lo", "w"]])";
  for (const auto& list : {strings, pairs}) {
    write(list);
    BOOST_TEST((BytePairEncoding::load(tokenizer, "") == reference));
    BOOST_TEST(text::read_tokenizer_json(tokenizer).ignored.empty());
  }
  const auto with_merges = error_of([&] { BytePairEncoding::load(tokenizer, path / "vocab.bpe"); });
  check_mentions(with_merges, {"tokenizer.json", "holds the merges too"});
  BOOST_TEST(with_merges.size() < 300u);

  const std::vector<std::pair<std::string, std::string>> models{
      {R"({"type": "Unigram"})", "Unigram"},
      {R"({"type": "WordPiece"})", "WordPiece"},
      {R"({"byte_fallback": true})", "byte_fallback"},
      {R"({"end_of_word_suffix": "</w>"})", "end_of_word_suffix"},
      {R"({"type": 3})", "another type"}};
  for (const auto& [model, word] : models) {
    write(strings, model);
    check_mentions(message(), {"tokenizer.json", word});
  }
  for (const char* merge :
       {R"("l o w")", R"("l")", R"(["l"])", R"(["l", "o", "w"])", "1", R"(["l", 1])", R"(["l", ""])"}) {
    write(concat("[", merge, "]"));
    check_mentions(message(), {"tokenizer.json: merge 1", "two symbols"});
  }
  write(R"(["l o", "lq o"])");
  check_mentions(message(), {"tokenizer.json: merge 2", "lq"});
  write("{}");
  check_mentions(message(), {"'merges' (an array)"});
  write_file(tokenizer, R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
  check_mentions(message(), {"tokenizer.json", "byte 0", "not a byte-level BPE"});
  for (const char* text : {"", "[1]", "{\"a\": 1}", "{\"model\": {}}"}) {
    write_file(tokenizer, text);
    check_mentions(message(), {"tokenizer.json"});
  }
  write_file(path / "encoder.json", R"({"a": {"b": [1, 2, 3]}})");
  check_mentions(error_of([&] { BytePairEncoding::load(path / "encoder.json", path / "vocab.bpe"); }),
                 {"the id of 'a' is object"});
}

BOOST_FIXTURE_TEST_CASE(tokenizer_json_says_what_is_left_out, SmallVocabulary) {
  load();
  const auto ignored = [&](const std::string& rest) {
    auto json = nlohmann::json::parse(rest);
    json["model"]["vocab"] = nlohmann::json::parse(read_file(path / "encoder.json"));
    json["model"]["merges"] = nlohmann::json::array();
    write_file(path / "tokenizer.json", json.dump());
    return text::read_tokenizer_json(path / "tokenizer.json").ignored.size();
  };
  const std::string gpt2 = R"("pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false})";
  BOOST_TEST(ignored("{\"normalizer\": null, " + gpt2 + "}") == 0u);
  BOOST_TEST(ignored("{\"normalizer\": {\"type\": \"NFC\"}, " + gpt2 + "}") == 1u);
  BOOST_TEST(ignored(R"({"pre_tokenizer": {"type": "Sequence"}})") == 1u);
  BOOST_TEST(ignored(R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true}})") == 1u);
  BOOST_TEST(ignored(R"({"model": {"ignore_merges": true}})") == 1u);
}

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
