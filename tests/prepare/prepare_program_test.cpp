// demix-prepare from the outside: files, messages, exit codes.

#include "prepare/prepare_program.hpp"

#include <map>
#include <nlohmann/json.hpp>

#include "demix/data/indexed_file.hpp"
#include "demix/data/layout.hpp"
#include "demix/text/vocabulary.hpp"

using namespace demix;
using namespace demix::test;

BOOST_AUTO_TEST_SUITE(prepare_program)

BOOST_FIXTURE_TEST_CASE(text_comes_back_byte_for_byte, Program) {
  const auto result =
      run_well("--input-dir " + in().string() + " " + news() + " " + output() + " --vocab-size 400");
  const auto data_bin = path / "data-bin";
  for (const char* domain : {"law", "code", "news"}) check_decodes(data_bin, domain);
  check_mentions(result.out, {"domain", "bytes/token", "law", "train", "valid", "test"});

  const auto names = files_of(data_bin);
  BOOST_TEST(names.size() == 3u * 7 + 4);
  BOOST_TEST(names.at("law/dict.txt") == names.at("dict.txt"));
  for (const auto& [name, bytes] : names) BOOST_TEST(name.find("partial") == std::string::npos);
  const auto dictionary = text::Dictionary::load(data_bin / "dict.txt");
  BOOST_TEST(dictionary.size() == 400u);

  const auto summary = nlohmann::json::parse(names.at("summary.json"));
  const std::string fingerprint = summary["vocabulary_fingerprint"];
  BOOST_TEST(fingerprint == text::vocabulary_fingerprint(data_bin));
  BOOST_TEST(fingerprint.starts_with(dictionary.fingerprint() + "+"));
  BOOST_TEST(summary["document_prefix"] == "");
  BOOST_TEST(summary["sequence_unit"] == "document");
  for (const char* domain : {"law", "code", "news"}) {
    std::size_t in_splits = 0, bytes = 0;
    for (const char* split : {"train", "valid", "test"}) {
      const data::TokenFile file(data::split_prefix(data_bin, domain, split), dictionary.size());
      const auto& part = summary["domains"][domain][split];
      BOOST_TEST(part["documents"] == file.documents());
      BOOST_TEST(part["sequences"] == file.documents());
      BOOST_TEST(part["tokens"] == file.tokens());
      BOOST_TEST(part["unknown_tokens"] == 0);
      in_splits += file.documents();
      bytes += part["bytes"].get<std::size_t>();
      std::vector<Token> tokens(file.tokens());
      file.read(0, tokens);
      BOOST_TEST(static_cast<std::size_t>(std::count(tokens.begin(), tokens.end(), eos_token)) ==
                 file.documents());
      BOOST_TEST(tokens.back() == eos_token);
    }
    BOOST_TEST(in_splits == 40u);
    std::size_t expected = 0;
    for (const auto& document : documents.at(domain)) expected += document.size();
    BOOST_TEST(bytes == expected);
  }
}

BOOST_FIXTURE_TEST_CASE(threads_do_not_change_a_byte_and_the_seed_does, Program) {
  std::vector<std::map<std::string, std::string>> results;
  for (const char* options : {"--threads 1", "--threads 3", "--threads 1 --seed 2"}) {
    run_well("--input-dir " + in().string() + " " + output() + " --vocab-size 300 " + options);
    results.push_back(files_of(path / "data-bin"));
    fs::remove_all(path / "data-bin");
  }
  BOOST_TEST((results[0] == results[1]));
  BOOST_TEST(results[0].at("law/train.bin") != results[2].at("law/train.bin"));
}

BOOST_FIXTURE_TEST_CASE(a_given_vocabulary_puts_the_prefix_before_documents, Program) {
  run_well("--input-dir " + in().string() + " --vocab-size 300 --output " + (path / "first").string());
  fs::create_directory(path / "hf");
  fs::copy_file(path / "first" / "encoder.json", path / "hf" / "vocab.json");
  fs::copy_file(path / "first" / "vocab.bpe", path / "hf" / "merges.txt");
  const std::string files = "--encoder-json " + (path / "hf" / "vocab.json").string() + " --vocab-bpe " +
                            (path / "hf" / "merges.txt").string();
  run_well(news() + " " + output() + " " + files);
  const auto data_bin = path / "data-bin";
  check_decodes(data_bin, "news");
  BOOST_TEST(nlohmann::json::parse(read_file(data_bin / "summary.json"))["document_prefix"] ==
             "<|endoftext|> ");
  const auto with_prefix =
      run_well("--decode " + (data_bin / "news" / "valid_news").string() + " --document-prefix ''").out;
  BOOST_TEST(with_prefix.starts_with("<|endoftext|> document "));
  // Without --dict, all symbols in order.
  BOOST_TEST(text::Dictionary::load(data_bin / "dict.txt").symbol(4 + 295) == "295");

  // With a dict.txt that lacks most symbols, they become <unk>, and the summary says how many.
  write_file(path / "small.txt", "64 1\n65 1\n");
  const auto result = run_well(news() + " --output " + (path / "small").string() + " " + files + " --dict " +
                               (path / "small.txt").string());
  const auto summary = nlohmann::json::parse(read_file(path / "small" / "summary.json"));
  BOOST_TEST(summary["domains"]["news"]["train"]["unknown_tokens"].get<std::size_t>() > 100u);
  check_fails(1, "--decode " + (path / "small" / "news" / "train").string(), {"<unk>"});
}

BOOST_FIXTURE_TEST_CASE(domains_are_added_to_a_data_bin, Program) {
  run_well("--input law=" + (in() / "law").string() + " " + output() +
           " --vocab-size 300 --document-prefix '> '");
  const auto data_bin = path / "data-bin";
  const auto before = files_of(data_bin);
  run_well("--input code=" + (in() / "code").string() + " " + output() + " --reuse-vocabulary");
  run_well(news() + " " + output() + " " + given(data_bin) + " --dict " + (data_bin / "dict.txt").string());
  auto after = files_of(data_bin);
  const auto summary = nlohmann::json::parse(after.at("summary.json"));
  BOOST_TEST(summary["domains"].size() == 3u);
  BOOST_TEST(summary["document_prefix"] == "> ");
  for (const auto& [name, bytes] : before)
    if (name != "summary.json") BOOST_TEST(after.at(name) == bytes);
  for (const char* domain : {"law", "code", "news"}) check_decodes(data_bin, domain);
  BOOST_TEST(run_well("--document-prefix '' --decode " + (data_bin / "news" / "train").string())
                 .out.starts_with("> document"));
  BOOST_TEST(!fs::exists(path / "data-bin.demix-partial"));

  check_fails(1, news() + " " + output() + " --reuse-vocabulary", {"'news' already"});
  check_fails(2, "--input x=" + (in() / "law").string() + " " + output(), {"--reuse-vocabulary"});
  run_well("--input law=" + (in() / "law").string() + " --vocab-size 320 --output " +
           (path / "other").string());
  check_fails(1, "--input x=" + (in() / "law").string() + " " + output() + " " + given(path / "other"),
              {"320", "300", "--reuse-vocabulary"});
  // The same symbols' numbers, but other merges.
  run_well("--input code=" + (in() / "code").string() + " --vocab-size 300 --output " +
           (path / "third").string());
  check_fails(1, "--input x=" + (in() / "law").string() + " " + output() + " " + given(path / "third"),
              {"the BPE of"});
  BOOST_TEST((files_of(data_bin) == after));
}

BOOST_FIXTURE_TEST_CASE(a_data_bin_of_the_original_takes_new_domains, Program) {
  run_well("--input-dir " + in().string() + " --vocab-size 300 --output " + (path / "first").string());
  fs::create_directory(path / "data-bin");
  fs::copy_file(path / "first" / "dict.txt", path / "data-bin" / "dict.txt");
  check_fails(1, news() + " " + output() + " --reuse-vocabulary", {"encoder.json"});
  run_well(news() + " " + output() + " " + given(path / "first") + " --dict " +
           (path / "first" / "dict.txt").string());
  const auto news_bin = path / "data-bin" / "news";
  BOOST_TEST(run_well("--document-prefix '' --decode " + (news_bin / "train").string())
                 .out.starts_with("<|endoftext|> document"));
  // </s> ends its lines, of which nothing but white space is lost.
  const auto visible = [](std::string text) {
    std::erase_if(text, [](char c) { return c == ' ' || c == '\t' || c == '\n'; });
    return text;
  };
  std::multiset<char> expected, found;
  for (const auto& document : documents["news"])
    for (const char c : visible("<|endoftext|> " + document)) expected.insert(c);
  for (const char* split : {"train", "valid_news", "test_news"})
    for (const char c : visible(run_well("--document-prefix '' --decode " + (news_bin / split).string()).out))
      found.insert(c);
  BOOST_TEST((found == expected));
  const auto summary = nlohmann::json::parse(read_file(path / "data-bin" / "summary.json"));
  BOOST_TEST(summary["sequence_unit"] == "line");
  BOOST_TEST(summary["domains"]["news"]["train"]["sequences"] >
             summary["domains"]["news"]["train"]["documents"]);
}

BOOST_FIXTURE_TEST_CASE(wrong_usage_exits_with_2, Program) {
  const std::string law = "--input law=" + (in() / "law").string() + " ";
  const std::string good = law + output() + " ";
  check_fails(2, "", {"--input"});
  check_fails(2, law, {"--output"});
  check_fails(2, output(), {"--input DOMAIN=PATH"});
  check_fails(2, "--input law " + output(), {"DOMAIN=PATH", "'law'"});
  check_fails(2, "--input law= " + output(), {"DOMAIN=PATH"});
  for (const char* name : {"", ".law", "-law", "a/b", "a,b", "'a b'", "..", "\303\251"})
    check_fails(2, std::string("--input ") + name + "=" + in().string() + " " + output(),
                {"--input", "domain name"});
  for (const char* name : {"dict.txt", "encoder.json", "vocab.bpe", "summary.json", "Dict.TXT"})
    check_fails(2, std::string("--input ") + name + "=" + in().string() + " " + output(), {name, "taken"});
  check_fails(2, good + law, {"'law' is given twice"});
  check_fails(2, good + "--input-dir " + in().string(), {"'law' is given twice"});
  check_fails(2, "--input-dir " + (path / "absent").string() + " " + output(), {"not a folder"});
  fs::create_directory(path / "empty");
  check_fails(2, "--input-dir " + (path / "empty").string() + " " + output(), {"no domain"});
  check_fails(2, good + "--vocab-sise 300", {"did you mean '--vocab-size'"});
  check_fails(2, good + "--vocab-size many", {"many"});
  check_fails(2, good + "--vocab-size 259", {"--vocab-size", "259", "260"});
  check_fails(2, good + "--vocab-size -5", {"-5"});
  check_fails(2, good + "--threads 0", {"--threads"});
  check_fails(2, good + "--valid-fraction 0", {"--valid-fraction"});
  check_fails(2, good + "--valid-fraction 0.5 --test-fraction 0.5", {"below 1"});
  check_fails(2, good + "--valid-fraction nan", {"--valid-fraction"});
  check_fails(2, good + "--valid-tokens 10", {"--test-tokens"});
  check_fails(2, good + "--valid-tokens 10 --test-tokens 0", {"--test-tokens"});
  check_fails(2, good + "--valid-tokens 10 --test-tokens 10 --valid-fraction 0.1", {"contradict"});
  check_fails(2, good + "--encoder-json x.json", {"--vocab-bpe"});
  check_fails(2, good + "--dict x", {"--dict"});
  check_fails(2, good + given(path) + " --vocab-size 300", {"--vocab-size"});
  check_fails(2, good + given(path) + " --reuse-vocabulary", {"--reuse-vocabulary"});
  check_fails(2, good + "--reuse-vocabulary", {"not a data-bin yet"});
  check_fails(2, good + "--decode x", {"--decode"});
  for (const std::string nothing :
       {"--seed 3", "--threads 2", "--text-field body", "--keep-duplicates-together", "--lines"})
    check_fails(2, "--decode x " + nothing, {"--decode contradicts " + nothing.substr(0, nothing.find(' '))});
  check_fails(2, good + "--document-prefix \"$(printf '\\377')\"", {"UTF-8"});
  BOOST_TEST(nothing_left());
}

BOOST_FIXTURE_TEST_CASE(what_an_input_dir_has_is_read_or_named_or_refused, Program) {
  std::string lines;
  for (const auto& document : documents["news"]) lines += nlohmann::json{{"text", document}}.dump() + "\n";
  write_file(in() / "news.JSONL", lines);
  write_file(in() / "e.txt", "text that stands beside the domains");
  write_file(in() / "f.json", lines);
  write_file(in() / ".DS_Store", "x");
  write_file(path / "elsewhere.jsonl", lines);
  fs::create_symlink(path / "elsewhere.jsonl", in() / "linked.ndjson");
  const std::string from = "--input-dir " + in().string() + " ";
  const auto result = run_well(from + output() + " --vocab-size 300");
  check_mentions(result.err,
                 {"ignored '" + (in() / "e.txt").string(), "ignored '" + (in() / "f.json").string()});
  BOOST_TEST(result.err.find("DS_Store") == std::string::npos);
  check_decodes(path / "data-bin", "news");
  BOOST_TEST(read_file(path / "data-bin" / "linked" / "dict.txt") ==
             read_file(path / "data-bin" / "dict.txt"));
  fs::remove_all(path / "data-bin");

  for (const char* packed : {"x.jsonl.xz", "x.NDJSON.zst"}) {
    write_file(in() / packed, "x");
    check_fails(2, from + output(), {packed, "gzip"});
    fs::remove(in() / packed);
  }
  fs::create_symlink("nothing", in() / "y");
  check_fails(2, from + output(), {"in/y", "link to nothing"});
  fs::remove(in() / "y");
  fs::create_symlink("nothing", in() / "law" / "y");
  check_fails(1, from + output(), {"law/y", "link to nothing"});
  fs::remove_all(in());
  write_file(in() / "e.txt", "text");
  check_fails(2, from + output(), {"no domain", "found e.txt"});
  BOOST_TEST(nothing_left());
}

BOOST_FIXTURE_TEST_CASE(pipes_and_standard_input_are_read, Program) {
  const std::string file = (path / "news.jsonl").string();
  for (const std::string& command : {"cat " + file + " | ", "gzip -c " + file + " | "}) {
    const Result result =
        run("--text-field body --input news=/dev/stdin " + output() + " --vocab-size 300", command);
    BOOST_TEST(result.exit_code == 0, result.err);
    check_decodes(path / "data-bin", "news");
    fs::remove_all(path / "data-bin");
  }
  check_fails(1, "--text-field body --input news=/dev/stdin " + output(), {"/dev/stdin", "cut short"},
              "gzip -c " + file + " | head -c 500 | ");
  check_fails(1, "--input news=/dev/stdin " + output(), {"/dev/stdin:1:", "'text'"}, "cat " + file + " | ");
  BOOST_TEST(nothing_left());
}

BOOST_FIXTURE_TEST_CASE(identical_documents_are_counted_or_kept_together, Program) {
  for (std::size_t i = 0; i < 120; ++i)
    write_file(in() / "law" / ("copy" + std::to_string(i)), documents["law"][i % 40]);
  const std::string options = "--input law=" + (in() / "law").string() + " " + output() +
                              " --vocab-size 300 --valid-fraction 0.2 --test-fraction 0.2";
  const auto shared = [&](const char* split) -> std::uint64_t {
    return nlohmann::json::parse(
        read_file(path / "data-bin" / "summary.json"))["domains"]["law"][split]["shared_documents"];
  };
  const auto result = run_well(options);
  check_mentions(result.err, {"also in another split", "--keep-duplicates-together"});
  check_mentions(result.out, {"shared"});
  for (const char* split : {"train", "valid", "test"}) BOOST_TEST(shared(split) > 0u);
  fs::remove_all(path / "data-bin");
  BOOST_TEST(run_well(options + " --keep-duplicates-together").err.find("also in") == std::string::npos);
  for (const char* split : {"train", "valid", "test"}) BOOST_TEST(shared(split) == 0u);
}

BOOST_FIXTURE_TEST_CASE(help_is_complete_and_a_config_file_is_read, Program) {
  const auto help = run_well("--help").out;
  check_mentions(help, {"usage:",
                        "--input ",
                        "--input-dir",
                        "--text-field",
                        "--output",
                        "--decode",
                        "--vocab-size",
                        "--bpe-sample-bytes",
                        "--encoder-json",
                        "--vocab-bpe",
                        "--dict",
                        "--reuse-vocabulary",
                        "--document-prefix",
                        "--valid-fraction",
                        "--test-fraction",
                        "--train-tokens",
                        "--valid-tokens",
                        "--test-tokens",
                        "--seed",
                        "--keep-duplicates-together",
                        "--threads",
                        "--config",
                        "Example:"});
  write_file(path / "prepare.ini",
             "vocab-size = 310\ntext-field = body\ninput = news=" + (path / "news.jsonl").string() + "\n");
  run_well("--config " + (path / "prepare.ini").string() + " " + output() + "/");
  BOOST_TEST(text::Dictionary::load(path / "data-bin" / "dict.txt").size() == 310u);
}

BOOST_AUTO_TEST_SUITE_END()
