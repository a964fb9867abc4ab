#include "demix/eval/prior.hpp"

#include "temporary_folder.hpp"
#include "testing.hpp"

using namespace demix;
using namespace demix::eval;

namespace {

const std::vector<std::string> experts{"law", "code"};

std::vector<double> read(const std::string& text) {
  return read_prior("--prior", text, PosteriorOver::prefix, experts);
}

/// What reading the text, or a file with these lines, fails with.
std::string error_of(const std::string& text) {
  try {
    read(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

std::string error_in_file(const std::string& lines) {
  const test::TemporaryFolder folder;
  const auto path = (folder.path / "prior.jsonl").string();
  std::ofstream(path) << lines;
  auto error = error_of(path);
  if (const auto at = error.find(path); at != std::string::npos) error.replace(at, path.size(), "FILE");
  return error;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(prior)

BOOST_AUTO_TEST_CASE(lists_of_numbers) {
  const std::vector<double> expected{0.1, 0.9};
  for (const char* text : {"0.1,0.9", "[0.1, 0.9]", "(0.1, 0.9)", "0.1 0.9", "[1, 9]"})
    for (std::size_t j = 0; j < 2; ++j) BOOST_TEST(std::abs(read(text)[j] - expected[j]) < 1e-15, text);
  const auto denormal = read("1e-320,1");
  BOOST_TEST(denormal[0] == 1e-320);
  BOOST_TEST(denormal[1] == 1.0);
  BOOST_TEST(read("1e-320,1e-320")[0] == 0.5);
}

BOOST_AUTO_TEST_CASE(texts_that_are_no_prior) {
  for (const char* text :
       {"", "0.5,x", "nan,1", "inf,1", "1e-999,1", "0x1,1", "[0.5, 0.5", "/nowhere/prior.jsonl", "/"})
    BOOST_TEST(error_of(text).find("--prior: '" + std::string(text) + "' is neither a file nor a list") == 0u,
               text);
  BOOST_TEST(error_of("1,1,1").find("--prior: ") == 0u);
  BOOST_TEST(error_of("-1,2").find("probabilities") != std::string::npos);
  BOOST_TEST(error_of("1e308,1e308").find("overflows") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(files_of_estimates) {
  const std::string good =
      R"({"posterior_over": "prefix", "experts": ["code", "law"], "exp_avg_posterior": [0.25, 0.75]})";
  const test::TemporaryFolder folder;
  const auto path = (folder.path / "prior.jsonl").string();
  std::ofstream(path) << good << "\n";
  BOOST_TEST(read(path) == (std::vector<double>{0.75, 0.25}), boost::test_tools::per_element());

  const std::string line1 = "--prior: 'FILE', line 1: not an object with exp_avg_posterior";
  for (const char* lines :
       {"x\n", "[]\n", "{}\n", "{\"exp_avg_posterior\": 1}\n", "{\"exp_avg_posterior\": [1e999, 1]}\n"})
    BOOST_TEST(error_in_file(lines).find(line1) == 0u, error_in_file(lines));
  BOOST_TEST(error_in_file(R"({"exp_avg_posterior": ["a", "b"]})") ==
             "--prior: 'FILE': the last estimate's exp_avg_posterior is not a list of numbers");
  BOOST_TEST(error_in_file(R"({"experts": 3, "exp_avg_posterior": [1, 1]})") ==
             "--prior: 'FILE': the last estimate's experts is not a list of names");
  BOOST_TEST(error_in_file(R"({"posterior_over": 7, "exp_avg_posterior": [1, 1]})").find("has no estimate") !=
             std::string::npos);
  BOOST_TEST(error_in_file(good + "\n" +
                           R"({"ensemble": ["x"], "posterior_over": "prefix", "exp_avg_posterior": [1, 1]})")
                 .find("line 2: estimates of several ensembles") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
