#pragma once
// demix-prepare and text for it, as the tests of the program run it.

#include <sys/wait.h>

#include <boost/test/unit_test.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "data/support.hpp"
#include "demix/data/layout.hpp"

namespace demix::test {

struct Result {
  int exit_code;
  std::string out, err;
};

/// Text files in two domains, among them bytes that are no UTF-8, and a third domain in .jsonl.
struct Program : TemporaryFolder {
  Program() {
    std::mt19937 random(1);
    const std::vector<std::string> words{"court", "plaintiff's",        "\n",  "we'll", "42", "\302\247",
                                         "  ",    "d\303\251j\303\240", "(a)", "\t"};
    const auto text = [&](std::size_t first, std::size_t count) {
      std::string result = "document " + std::to_string(first);
      for (std::size_t i = 0; i < 120; ++i) result += " " + words[(first + random() % count) % words.size()];
      return result;
    };
    for (std::size_t i = 0; i < 40; ++i) {
      documents["law"].push_back(text(i, 4));
      documents["code"].push_back(text(i + 3, 6) + "\xff\xfe\xc3" + std::string(i % 5, '\0') + "\n");
      documents["news"].push_back(text(i + 6, 3) + "<|endoftext|> \342\202\254\360\237\230\200");
    }
    for (std::size_t i = 0; i < 40; ++i) {
      write_file(in() / "law" / (std::to_string(i) + ".txt"), documents["law"][i]);
      write_file(in() / "code" / "deep" / std::to_string(i), documents["code"][i]);
    }
    std::string lines;
    for (const auto& document : documents["news"])
      lines += nlohmann::json{{"body", document}, {"id", 7}}.dump() + "\n";
    write_file(path / "news.jsonl", lines);
  }

  fs::path in() const { return path / "in"; }
  std::string output() const { return "--output " + (path / "data-bin").string(); }
  std::string news() const { return "--text-field body --input news=" + (path / "news.jsonl").string(); }
  std::string given(const fs::path& folder) const {
    return "--encoder-json " + (folder / "encoder.json").string() + " --vocab-bpe " +
           (folder / "vocab.bpe").string();
  }

  Result run(const std::string& arguments, const std::string& before = "") const {
    const auto out = path / "stdout", err = path / "stderr";
    const std::string command =
        before + DEMIX_PREPARE " " + arguments + " >" + out.string() + " 2>" + err.string();
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
  }
  Result run_well(const std::string& arguments) const {
    const Result result = run(arguments);
    BOOST_REQUIRE_MESSAGE(result.exit_code == 0, arguments << "\n" << result.err);
    return result;
  }
  void check_fails(int exit_code, const std::string& arguments, const std::vector<std::string>& mentions,
                   const std::string& before = "") const {
    const Result result = run(arguments, before);
    BOOST_TEST(result.exit_code == exit_code, arguments << "\n" << result.err);
    check_mentions(result.err, mentions);
  }
  bool nothing_left() const {
    return !fs::exists(path / "data-bin") && !fs::exists(path / "data-bin.demix-partial");
  }

  /// Every document of a domain is in exactly one split.
  void check_decodes(const fs::path& data_bin, const std::string& domain,
                     const std::string& options = "") const {
    std::multiset<std::string> expected(documents.at(domain).begin(), documents.at(domain).end());
    for (const char* split : {"train", "valid", "test"}) {
      std::string text =
          run_well("--decode " + (data_bin / domain / data::split_file_name(domain, split)).string() + " " +
                   options)
              .out;
      BOOST_TEST(!text.empty());
      while (!text.empty()) {
        auto longest = expected.end();
        for (auto each = expected.begin(); each != expected.end(); ++each)
          if (text.starts_with(*each) && (longest == expected.end() || each->size() > longest->size()))
            longest = each;
        BOOST_REQUIRE_MESSAGE(longest != expected.end(),
                              domain << " " << split << ": " << text.substr(0, 80));
        text.erase(0, longest->size());
        expected.erase(longest);
      }
    }
    BOOST_TEST(expected.empty());
  }

  std::map<std::string, std::vector<std::string>> documents;
};

inline std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> result;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      result[fs::relative(entry.path(), folder).string()] = read_file(entry.path());
  return result;
}

}  // namespace demix::test
