#include "demix/core/options.hpp"

#include <unistd.h>

#include <filesystem>

#include "captured.hpp"
#include "testing.hpp"

using namespace demix;
using demix::test::Captured;
using demix::test::contains;
namespace po = boost::program_options;

namespace {

CommandLine example_line() {
  CommandLine line{"demix-test DATA [options]", "Tests.", "demix-test data --lr 1", {"data"}};
  line.options.add_options()("data", po::value<std::string>(), "where the data is")(
      "lr", po::value<double>()->default_value(0.5), "learning rate")("clip-norm", po::value<double>(),
                                                                      "clipping");
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

BOOST_AUTO_TEST_SUITE_END()
