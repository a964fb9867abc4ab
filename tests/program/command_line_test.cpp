#include "demix/program/command_line.hpp"

#include <unistd.h>

#include <filesystem>

#include "captured.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::program;
using demix::test::Captured;
using demix::test::contains;
namespace po = boost::program_options;

namespace {

CommandLine example_line() {
  CommandLine line{"demix-test DATA [options]", "Tests.", "demix-test data --lr 1", {"data"}};
  line.options.add_options()("data", po::value<std::string>(), "where the data is")(
      "lr", po::value<double>()->default_value(0.5), "learning rate")("clip-norm", po::value<double>(),
                                                                      "clipping");
  line.aliases = {{"learning-rate", "lr"}};
  return line;
}

bool parse(std::vector<std::string> words, po::variables_map& values) {
  words.insert(words.begin(), "demix-test");
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  return example_line().parse(static_cast<int>(argv.size()), argv.data(), values);
}

std::string usage_error(const std::vector<std::string>& words) {
  po::variables_map values;
  try {
    parse(words, values);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

/// A file that is gone when the test is over.
struct ConfigFile {
  std::string path;
  explicit ConfigFile(const std::string& text)
      : path((std::filesystem::temp_directory_path() / ("demix_options_" + std::to_string(getpid()) + ".ini"))
                 .string()) {
    std::ofstream(path) << text;
  }
  ~ConfigFile() { std::filesystem::remove(path); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(options)

BOOST_AUTO_TEST_CASE(positional_and_named_options) {
  po::variables_map values;
  BOOST_TEST(parse({"here", "--clip-norm=0.1"}, values));
  BOOST_TEST(values["data"].as<std::string>() == "here");
  BOOST_TEST(values["clip-norm"].as<double>() == 0.1);
  BOOST_TEST(values["lr"].as<double>() == 0.5);
}

// File names are bytes, whatever the locale.
BOOST_AUTO_TEST_CASE(values_are_taken_byte_for_byte) {
  for (const char* name : {"donn\303\251es", "\377\376"}) {
    po::variables_map values;
    BOOST_TEST(parse({name}, values));
    BOOST_TEST(values["data"].as<std::string>() == name);
    const ConfigFile file(std::string("data = ") + name + "\n");
    po::variables_map from_file;
    if (name[0] == 'd') BOOST_TEST(parse({"--config", file.path}, from_file));
  }
}

BOOST_AUTO_TEST_CASE(mistakes_are_usage_errors_that_help) {
  BOOST_TEST(contains(usage_error({"--clip-nrom", "1"}), "did you mean '--clip-norm'?"));
  BOOST_TEST(contains(usage_error({"--zzzzzzzz", "1"}), "--help lists them all"));
  BOOST_TEST(contains(usage_error({"one", "two"}), "usage: demix-test DATA"));
  BOOST_TEST(contains(usage_error({"--lr", "fast"}), "fast"));
  BOOST_TEST(contains(usage_error({"--lr"}), "lr"));
  BOOST_TEST(contains(usage_error({"--lr", "1", "--lr", "2"}), "lr"));
  // A prefix is not the option: scripts must not break when an option is added.
  BOOST_TEST(contains(usage_error({"--clip", "1"}), "unknown option"));
  BOOST_TEST(contains(usage_error({"--config", "/nowhere/x.ini"}), "/nowhere/x.ini"));
}

BOOST_AUTO_TEST_CASE(an_alias_is_the_option) {
  po::variables_map values;
  BOOST_TEST(parse({"--learning-rate", "3"}, values));
  BOOST_TEST(values["lr"].as<double>() == 3);
  po::variables_map both;
  BOOST_TEST(parse({"--lr", "4", "--learning-rate=4"}, both));
  BOOST_TEST(both["lr"].as<double>() == 4);
  BOOST_TEST(contains(usage_error({"--lr", "4", "--learning-rate", "5"}),
                      "--learning-rate: given twice, first in --lr"));
  BOOST_TEST(contains(usage_error({"--learning-rate", "4", "--learning-rate", "4"}), "given twice"));
  BOOST_TEST(contains(usage_error({"--learning-rte", "4"}), "did you mean '--learning-rate'?"));
  const ConfigFile file("learning-rate = 2\n");
  po::variables_map from_file, overridden;
  BOOST_TEST(parse({"--config", file.path}, from_file));
  BOOST_TEST(from_file["lr"].as<double>() == 2);
  BOOST_TEST(parse({"--config", file.path, "--lr", "7"}, overridden));
  BOOST_TEST(overridden["lr"].as<double>() == 7);
  const ConfigFile twice("learning-rate = 2\nlr = 3\n");
  BOOST_TEST(contains(usage_error({"--config", twice.path}), ":2: lr: given twice, first in "));
}

BOOST_AUTO_TEST_CASE(ini_files_yield_to_the_command_line) {
  const ConfigFile file("lr = 2\nclip-norm = 3\n");
  po::variables_map values;
  BOOST_TEST(parse({"--config", file.path, "--lr", "7"}, values));
  BOOST_TEST(values["lr"].as<double>() == 7);
  BOOST_TEST(values["clip-norm"].as<double>() == 3);
}

BOOST_AUTO_TEST_CASE(mistakes_in_ini_files) {
  const ConfigFile file("clip-nrom = 3\n");
  BOOST_TEST(contains(usage_error({"--config", file.path}), "did you mean '--clip-norm'?"));
}

BOOST_AUTO_TEST_CASE(help_is_complete) {
  Captured out(std::cout);
  po::variables_map values;
  BOOST_TEST(!parse({"--help"}, values));
  for (const char* part : {"usage: demix-test DATA", "Tests.", "--lr", "--clip-norm", "--config", "--help",
                           "demix-test data --lr 1"})
    BOOST_TEST(contains(out.text(), part), part << " is missing");
}

namespace {

/// What a line with one option of every kind makes of the words; `error` where it refuses them.
struct Kinds {
  std::string name, error;
  std::vector<std::string> prompts;
  std::vector<std::string> rest;
  std::size_t count = 7;
  std::uint64_t seed = 1;
  int threads = 0;
  double rate = 1;
  bool tied = false, shown = false;

  explicit Kinds(std::vector<std::string> words) {
    words.insert(words.begin(), "demix-test");
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    CommandLine line{"demix-test REST... [options]", "Tests.", "demix-test", {"rest..."}, {"prompt"}};
    line.options.add_options()("name", option::string(name, "NAME"), "")("prompt", po::value(&prompts), "")(
        "rest", po::value(&rest), "")("count", option::count(count, 1), "")("seed", option::seed(seed), "")(
        "threads", option::threads(threads), "")("rate", option::positive(rate), "")(
        "tied", po::value(&tied)->implicit_value(true), "")("shown", po::bool_switch(&shown), "");
    po::variables_map values;
    try {
      line.parse(static_cast<int>(argv.size()), argv.data(), values);
    } catch (const UsageError& refusal) {
      error = refusal.what();
    }
  }
};

Kinds from_file(const std::string& text, std::vector<std::string> words = {}) {
  const ConfigFile file(text);
  words.insert(words.end(), {"--config", file.path});
  Kinds result(words);
  if (const auto at = result.error.find(file.path); at == 0) result.error.erase(0, file.path.size());
  return result;
}

}  // namespace

BOOST_AUTO_TEST_CASE(numbers_are_whole_texts_in_their_range) {
  const Kinds good({"--count", "12", "--seed=18446744073709551615", "--threads", "1024", "--rate", "1e-320"});
  BOOST_TEST(good.error == "");
  BOOST_TEST(good.count == 12u);
  BOOST_TEST(good.seed == UINT64_MAX);
  BOOST_TEST(good.threads == 1024);
  BOOST_TEST(good.rate == 1e-320);
  const std::vector<std::pair<std::string, std::vector<std::string>>> wrong{
      {"--count",
       {"0", "-1", "1.5", "1e3", "0x10", "12x", "9223372036854775808", "99999999999999999999", ""}},
      {"--seed", {"-1", "18446744073709551616", "one"}},
      {"--threads", {"0", "-1", "1025", "4294967297", "100000"}},
      {"--rate", {"nan", "inf", "-inf", "0", "-1", "1e999", "0x1p3", "1,5", "1 2"}}};
  for (const auto& [name, values] : wrong)
    for (const auto& value : values) {
      const auto error = Kinds({name + "=" + value}).error;
      BOOST_TEST(error.starts_with(name + ": "), name << "=" << value << ": " << error);
      BOOST_TEST(contains(error, value));
      BOOST_TEST(
          from_file(name.substr(2) + " = " + value + "\n").error.starts_with(":1: " + name.substr(2) + ": "));
    }
  BOOST_TEST(Kinds({"--threads", "4294967297"}).error ==
             "--threads: expected a whole number from 1 to 1024, found '4294967297'");
}

BOOST_AUTO_TEST_CASE(a_value_that_looks_like_an_option_needs_an_equals_sign) {
  for (const char* next : {"--seed=3", "--seed", "--", "-h"}) {
    const auto error = Kinds({"--name", next}).error;
    BOOST_TEST(error.starts_with("--name: "), error);
    BOOST_TEST(contains(error, concat("--name=", next)));
  }
  BOOST_TEST(contains(Kinds({"--name"}).error, "--name: its value is missing"));
  BOOST_TEST(Kinds({"--name=--seed=3"}).name == "--seed=3");
  BOOST_TEST(Kinds({"--name", "-"}).name == "-");
  BOOST_TEST(Kinds({"--name", "- item"}).name == "- item");
  BOOST_TEST(contains(Kinds({"--seed", "-1"}).error, "found '-1'"));
}

BOOST_AUTO_TEST_CASE(a_flag_takes_a_truth_value_and_nothing_else) {
  const Kinds flag({"--tied", "data-bin", "--shown", "more"});
  BOOST_TEST(flag.error == "");
  BOOST_TEST(flag.tied);
  BOOST_TEST(flag.shown);
  BOOST_TEST(flag.rest == (std::vector<std::string>{"data-bin", "more"}), boost::test_tools::per_element());
  BOOST_TEST(!Kinds({"--tied", "false"}).tied);
  BOOST_TEST(!Kinds({"--tied=no"}).tied);
  BOOST_TEST(contains(Kinds({"--tied=perhaps"}).error, "--tied: "));
  BOOST_TEST(Kinds({"--shown=1"}).error == "--shown takes no value");
}

BOOST_AUTO_TEST_CASE(empty_values) {
  for (const auto& words : {std::vector<std::string>{"--prompt="}, {"--prompt", ""}}) {
    const Kinds empty(words);
    BOOST_TEST(empty.error == "");
    BOOST_TEST(empty.prompts == std::vector<std::string>{""}, boost::test_tools::per_element());
  }
  BOOST_TEST(Kinds({"--name="}).error == "--name: its value is empty");
  BOOST_TEST(Kinds({"--name", ""}).error == "--name: its value is empty");
  BOOST_TEST(Kinds({""}).error == "--rest: its value is empty");
  BOOST_TEST(contains(from_file("name =\n").error, ":1: name: its value is empty"));
}

BOOST_AUTO_TEST_CASE(what_stands_after_two_dashes_is_no_option) {
  const Kinds rest({"a", "--", "--name", "-x", "--"});
  BOOST_TEST(rest.rest == (std::vector<std::string>{"a", "--name", "-x", "--"}),
             boost::test_tools::per_element());
  BOOST_TEST(contains(Kinds({"-x"}).error, "unknown option '-x'"));
  BOOST_TEST(contains(Kinds({"--=x"}).error, "unknown option '--'"));
}

BOOST_AUTO_TEST_CASE(options_given_twice) {
  BOOST_TEST(Kinds({"--name", "a", "--name", "a"}).error == "--name: given twice");
  BOOST_TEST(Kinds({"--prompt", "a", "--prompt", "b"}).prompts.size() == 2u);
  BOOST_TEST(contains(from_file("name = a\nname = b\n").error, ":2: name: given twice, first in "));
  BOOST_TEST(from_file("prompt = a\nprompt = b\n").prompts.size() == 2u);
  // The command line wins.
  BOOST_TEST(from_file("name = file\n", {"--name", "line"}).name == "line");
  BOOST_TEST(from_file("prompt = a\nprompt = b\n", {"--prompt", "c"}).prompts.size() == 1u);
}

BOOST_AUTO_TEST_CASE(names_in_files) {
  BOOST_TEST(from_file("nmae = a\n").error == ":1: unknown option 'nmae'; did you mean '--name'?");
  BOOST_TEST(contains(from_file("config = other.ini\n").error, "command line only"));
  BOOST_TEST(contains(from_file("help = true\n").error, "command line only"));
  BOOST_TEST(contains(from_file("[name]\n").error, ":1: there are no sections"));
  const Kinds all = from_file("\xEF\xBB\xBFname = runs/a#1\r\nshown = yes\r\ntied = true\r\nrest = x\r\n");
  BOOST_TEST(all.error == "");
  BOOST_TEST(all.name == "runs/a#1");
  BOOST_TEST((all.shown && all.tied));
  BOOST_TEST(all.rest.size() == 1u);
}

BOOST_AUTO_TEST_CASE(threads_from_the_environment_have_a_limit_too) {
  const int before = omp_get_max_threads();
  const char* variable = std::getenv("OMP_NUM_THREADS");
  const std::string kept = variable ? variable : "";
  unsetenv("OMP_NUM_THREADS");
  BOOST_TEST(option::thread_count(0) == available_processors());
  setenv("OMP_NUM_THREADS", "100000", 1);
  omp_set_num_threads(100000);
  BOOST_CHECK_EXCEPTION(option::thread_count(0), UsageError,
                        [](const Error& error) { return contains(error.what(), "OMP_NUM_THREADS"); });
  BOOST_TEST(option::thread_count(2) == 2);
  setenv("OMP_NUM_THREADS", "3", 1);
  omp_set_num_threads(3);
  BOOST_TEST(option::thread_count(0) == 3);
  omp_set_num_threads(before);
  if (variable)
    setenv("OMP_NUM_THREADS", kept.c_str(), 1);
  else
    unsetenv("OMP_NUM_THREADS");
}

BOOST_AUTO_TEST_SUITE_END()
