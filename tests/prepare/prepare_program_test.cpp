// demix-prepare from the outside: files, messages, exit codes.

#include "prepare/prepare_program.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "demix/data/indexed_file.hpp"
#include "demix/data/layout.hpp"
#include "demix/prepare/staging_folder.hpp"
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
  for (const char* domain : {"law", "code", "news"}) {
    std::size_t in_splits = 0, bytes = 0;
    for (const char* split : {"train", "valid", "test"}) {
      const data::TokenFile file(data::split_prefix(data_bin, domain, split), dictionary.size());
      const auto& part = summary["domains"][domain][split];
      BOOST_TEST(part["documents"] == file.documents());
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
  check_decodes(path / "data-bin", "news");
  BOOST_TEST(run_well("--document-prefix '' --decode " + (path / "data-bin" / "news" / "train").string())
                 .out.starts_with("<|endoftext|> document"));
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
       {"--seed 3", "--threads 2", "--text-field body", "--keep-duplicates-together"})
    check_fails(2, "--decode x " + nothing, {"--decode contradicts " + nothing.substr(0, nothing.find(' '))});
  check_fails(2, good + "--document-prefix \"$(printf '\\377')\"", {"UTF-8"});
  BOOST_TEST(nothing_left());
}

BOOST_FIXTURE_TEST_CASE(failures_exit_with_1_and_leave_nothing, Program) {
  const std::string law = "--input law=" + (in() / "law").string() + " ";
  check_fails(1, "--input law=" + (path / "absent").string() + " " + output(), {"absent", "does not exist"});
  check_fails(1, "--input news=" + (path / "news.jsonl").string() + " " + output(),
              {"news.jsonl:1", "'text'", "body id"});
  fs::create_directory(path / "empty");
  check_fails(1, law + "--input none=" + (path / "empty").string() + " " + output(),
              {"'none'", "no documents"});
  write_file(path / "blank.jsonl", "{\"text\": \"\"}\n\n");
  check_fails(1, "--input none=" + (path / "blank.jsonl").string() + " " + output(),
              {"'none'", "no documents"});
  write_file(path / "two.jsonl", "{\"text\": \"a\"}\n{\"text\": \"b\"}\n");
  check_fails(1, "--input two=" + (path / "two.jsonl").string() + " " + output(), {"'two'", "2 documents"});
  check_fails(1, law + output() + " --train-tokens 1000000 --valid-tokens 1 --test-tokens 1",
              {"'law'", "valid split would be empty"});
  check_fails(1, law + output() + " " + given(path), {"encoder.json"});
  BOOST_TEST(nothing_left());

  write_file(path / "file", "");
  check_fails(1, law + "--output " + (path / "file" / "x").string(), {"cannot create", "file/x"});
  check_fails(1, law + "--output " + (path / "file").string(), {"not a data-bin"});
  write_file(path / "data-bin" / "mine.txt", "precious");
  check_fails(1, law + output(), {"not a data-bin"});
  BOOST_TEST(read_file(path / "data-bin" / "mine.txt") == "precious");
}

BOOST_FIXTURE_TEST_CASE(a_full_disk_is_reported, Program) {
  for (std::size_t i = 0; i < 400; ++i)
    write_file(in() / "law" / ("more" + std::to_string(i)), documents["law"][i % 40] + std::to_string(i));
  // 32 KiB a file: enough for the index and the vocabulary, not for the tokens.
  check_fails(1, "--input law=" + (in() / "law").string() + " " + output() + " --vocab-size 300",
              {"cannot write", (path / "data-bin/law/train").string(), "File too large"}, "ulimit -f 64; ");
  BOOST_TEST(nothing_left());
  run_well("--input law=" + (in() / "law").string() + " " + output() + " --vocab-size 300");
  const std::string command = DEMIX_PREPARE " --decode " + (path / "data-bin/law/train").string() + " 2>" +
                              (path / "stderr").string() + " >/dev/full";
  const int status = std::system(command.c_str());
  BOOST_TEST(WEXITSTATUS(status) == 1);
  check_mentions(read_file(path / "stderr"),
                 {"cannot write to the standard output", "No space left on device"});
}

BOOST_FIXTURE_TEST_CASE(damaged_data_bins_do_not_decode, Program) {
  run_well(news() + " " + output() + " --vocab-size 300");
  const auto folder = path / "data-bin" / "news";
  check_fails(1, "--decode " + (folder / "absent").string(), {"absent.idx"});
  fs::resize_file(folder / "train.bin", fs::file_size(folder / "train.bin") - 2);
  check_fails(1, "--decode " + (folder / "train").string(), {"train.bin", "cut short"});
  write_file(path / "data-bin" / "summary.json", "{\"docum");
  check_fails(1, "--decode " + (folder / "test_news").string(), {"summary.json"});
}

BOOST_FIXTURE_TEST_CASE(a_killed_run_leaves_no_data_bin_and_the_next_one_succeeds, Program) {
  std::string lines;
  for (int i = 0; i < 300; ++i)
    for (const auto& document : documents["news"])
      lines += nlohmann::json{{"body", document + std::to_string(i)}}.dump() + "\n";
  write_file(path / "news.jsonl", lines);
  const auto partial = path / "data-bin.demix-partial";
  const std::string input = "news=" + (path / "news.jsonl").string(), out = (path / "data-bin").string();
  int interrupted = 0;
  // Killed when the first files are there, when the vocabulary is, when the first split is.
  for (const char* seen :
       {"..0.documents.partial", "dict.txt", "news/.train.bin.partial", "news/train.idx"}) {
    std::fflush(nullptr);  // or the child writes it again
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
      BOOST_REQUIRE(std::freopen("/dev/null", "w", stdout) != nullptr);
      BOOST_REQUIRE(std::freopen("/dev/null", "w", stderr) != nullptr);
      execl(DEMIX_PREPARE, DEMIX_PREPARE, "--text-field", "body", "--input", input.c_str(), "--output",
            out.c_str(), "--vocab-size", "300", nullptr);
      _exit(127);
    }
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!fs::exists(partial / seen) && !fs::exists(out) && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSIGNALED(status)) continue;  // it was faster
    interrupted += !fs::exists(out);
    if (fs::exists(out)) fs::remove_all(out);
  }
  BOOST_TEST(interrupted > 0);
  fs::remove_all(out);
  run_well(news() + " " + output() + " --vocab-size 300");
  BOOST_TEST(!fs::exists(partial));
  const auto after = files_of(out);
  BOOST_TEST(after.size() == 7u + 4);
  fs::remove_all(out);
  run_well(news() + " " + output() + " --vocab-size 300");
  BOOST_TEST((files_of(out) == after));
}

BOOST_FIXTURE_TEST_CASE(two_runs_do_not_share_an_output, Program) {
  const prepare::StagingFolder held(path / "data-bin");
  check_fails(1, news() + " " + output(), {"another process", "data-bin"});
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

BOOST_FIXTURE_TEST_CASE(an_output_that_cannot_be_replaced_is_filled, Program) {
  fs::create_directories(path / "here");
  fs::create_directories(path / "behind");
  fs::create_directory_symlink("behind", path / "link");
  const std::string options = news() + " --vocab-size 300 --output ";
  const Result here = run(options + ".", "cd " + (path / "here").string() + "; ");
  BOOST_TEST(here.exit_code == 0, here.err);
  run_well(options + (path / "link").string());
  run_well(options + (path / "new").string() + "/");
  const auto expected = files_of(path / "new");
  BOOST_TEST((files_of(path / "here") == expected));
  BOOST_TEST((files_of(path / "behind") == expected));
  BOOST_TEST(fs::is_symlink(path / "link"));

  fs::create_symlink("nothing", path / "data-bin");
  check_fails(1, news() + " " + output(), {"link to nothing"});
  fs::remove(path / "data-bin");
  // What is written must not be read as text.
  check_fails(2, "--input law=" + (in() / "law").string() + " --output " + (in() / "law" / "bin").string(),
              {"in the input folder"});
  check_fails(2, "--input law=. --output new/out", {"in the input folder"},
              "cd " + (in() / "law").string() + " && ");
  BOOST_TEST(nothing_left());
}

// What a kill between two moves leaves: the same command then does all of it.
BOOST_FIXTURE_TEST_CASE(a_killed_addition_of_two_domains_can_be_repeated, Program) {
  run_well("--input law=" + (in() / "law").string() + " " + output() + " --vocab-size 300");
  const auto data_bin = path / "data-bin", partial = data_bin / ".demix-partial";
  const std::string more =
      news() + " --input code=" + (in() / "code").string() + " " + output() + " --reuse-vocabulary";
  const auto before = files_of(data_bin);
  run_well(more);
  const auto after = files_of(data_bin);
  fs::create_directory(partial);
  fs::rename(data_bin / "code", partial / "code");
  fs::rename(data_bin / "summary.json", partial / "summary.json");
  write_file(data_bin / "summary.json", before.at("summary.json"));
  write_file(partial / ".publishing", "news\ncode\nsummary.json\n");
  run_well(more);
  BOOST_TEST((files_of(data_bin) == after));
}

BOOST_FIXTURE_TEST_CASE(what_is_wrong_is_found_before_the_work, Program) {
  const std::string law = "--input law=" + (in() / "law").string() + " ";
  run_well(law + output() + " --vocab-size 300");
  const auto data_bin = path / "data-bin";
  const auto fails_early = [&](const std::string& arguments, const std::vector<std::string>& mentions) {
    const Result result = run(arguments);
    BOOST_TEST(result.exit_code == 1, result.err);
    check_mentions(result.err, mentions);
    for (const char* never : {"documents", "demix-partial"})
      BOOST_TEST(result.err.find(never) == std::string::npos, result.err);
  };
  const std::string other = "--output " + (path / "other").string() + " ";
  fails_early(law + "--input x=" + (path / "absent").string() + " " + other, {"absent", "does not exist"});
  write_file(path / "bad" / "encoder.json", "{");
  fs::copy_file(data_bin / "vocab.bpe", path / "bad" / "vocab.bpe");
  fails_early(law + other + given(path / "bad"), {(path / "bad" / "encoder.json").string()});
  fails_early(law + other + given(data_bin) + " --dict " + (path / "absent.txt").string(), {"absent.txt"});
  for (const char* damaged : {"{\"docum", "[]", "{\"domains\": []}"}) {
    write_file(data_bin / "summary.json", damaged);
    fails_early("--input x=" + (in() / "law").string() + " --reuse-vocabulary " + output(),
                {(data_bin / "summary.json").string()});
  }
  fs::remove(data_bin / "summary.json");
  fs::create_symlink("nothing", data_bin / "x");
  fails_early("--input x=" + (in() / "law").string() + " --reuse-vocabulary " + output(), {"'x' already"});
  fs::remove(data_bin / "x");
  fs::remove(data_bin / "encoder.json");
  fails_early("--input x=" + (in() / "law").string() + " --reuse-vocabulary " + output(),
              {(data_bin / "encoder.json").string()});
  BOOST_TEST(!fs::exists(path / "other"));
}

BOOST_FIXTURE_TEST_CASE(of_runs_at_once_on_one_output_one_succeeds, Program) {
  const std::string command =
      DEMIX_PREPARE " " + news() + " " + output() + " --vocab-size 300 >/dev/null 2>&1";
  std::string script = "ok=0; ";
  for (int i = 0; i < 4; ++i) script += command + " & p" + std::to_string(i) + "=$!; ";
  for (int i = 0; i < 4; ++i) script += "wait $p" + std::to_string(i) + " && ok=$((ok + 1)); ";
  const int status = std::system((script + "exit $ok").c_str());
  BOOST_TEST(WEXITSTATUS(status) == 1);
  check_decodes(path / "data-bin", "news");
  BOOST_TEST(!fs::exists(path / "data-bin.demix-partial"));
  BOOST_TEST(!fs::exists(path / "data-bin" / ".demix-partial"));
}

BOOST_FIXTURE_TEST_CASE(a_signal_leaves_nothing, Program) {
  // It waits for the other end of a pipe.
  const auto pipe = (path / "pipe").string(), partial = (path / "data-bin.demix-partial").string(),
             err = (path / "stderr").string();
  const std::string script = "mkfifo " + pipe + "; " DEMIX_PREPARE " --input law=" + (in() / "law").string() +
                             " --input x=" + pipe + " " + output() + " 2>" + err +
                             " & pid=$!; while [ ! -e " + partial +
                             " ]; do sleep 0.01; done; kill -TERM $pid; wait $pid; exit $?";
  const int status = std::system(script.c_str());
  BOOST_TEST(WEXITSTATUS(status) == 128 + SIGTERM);
  check_mentions(read_file(err), {"demix-prepare: SIGTERM: stopping"});
  BOOST_TEST(nothing_left());
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
