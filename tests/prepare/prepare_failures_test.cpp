// demix-prepare that fails, is killed or is run twice: what it says, and what it leaves.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "demix/prepare/staging_folder.hpp"
#include "prepare/prepare_program.hpp"

using namespace demix;
using namespace demix::test;

BOOST_AUTO_TEST_SUITE(prepare_failures)

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

BOOST_AUTO_TEST_SUITE_END()
