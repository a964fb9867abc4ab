#include "demix/text/tokenizer_json.hpp"

#include "text/small_vocabulary.hpp"

using namespace demix;
using namespace demix::test;
using text::BytePairEncoding;

BOOST_AUTO_TEST_SUITE(tokenizer_json)

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

BOOST_AUTO_TEST_SUITE_END()
