#include "demix/text/bpe.hpp"

#include "text/small_vocabulary.hpp"

using namespace demix;
using namespace demix::test;
using text::BytePairEncoder;
using text::BytePairEncoding;

BOOST_AUTO_TEST_SUITE(bpe)

BOOST_FIXTURE_TEST_CASE(hugging_face_files_have_no_version_line, SmallVocabulary) {
  merges = {{"#", "v"}, {"#v", "e"}};
  const auto bpe = load("");
  BytePairEncoder encoder(bpe);
  BOOST_TEST(encode(encoder, bpe, "#ve") == (std::vector<std::string>{"#ve"}),
             boost::test_tools::per_element());
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

BOOST_AUTO_TEST_SUITE_END()
