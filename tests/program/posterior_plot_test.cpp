#include "demix/program/posterior_plot.hpp"

#include <boost/test/unit_test.hpp>
#include <cstdlib>

#include "checkpoint/fixtures.hpp"

using namespace demix;
using namespace demix::program;
using namespace demix::program::posterior_plot_detail;
using demix::test::error_of;
using std::filesystem::path;

namespace {

/// PATH with one folder, whose gnuplot is this script, for as long as it lives; without a script, none.
class FakeGnuplot {
 public:
  explicit FakeGnuplot(const std::string& script) {
    if (!script.empty()) {
      const auto program = folder_.path / "gnuplot";
      test::write_bytes(program, "#!/bin/sh\n" + script + "\n");
      std::filesystem::permissions(program, std::filesystem::perms::owner_all);
    }
    ::setenv("PATH", folder_.path.c_str(), 1);
  }
  ~FakeGnuplot() { ::setenv("PATH", saved_.c_str(), 1); }

 private:
  const test::TemporaryFolder folder_;
  const std::string saved_ = std::getenv("PATH");
};

/// Two batches of a sequence of two tokens, of which the experts are sure: of the first one, then the second.
eval::Mixture mixture() {
  eval::Mixture result(eval::Ensemble::uniform_prior, eval::PosteriorOver::prefix, {0.5, 0.5});
  result.add({2, 2, {2}, {0, 0, std::log(3.0), 0}});
  result.add({2, 2, {2}, {std::log(3.0), 0, 0, 0}});
  return result;
}

std::string draw(const path& picture, const std::string& title) {
  const test::TemporaryFolder folder;
  OutputFile file(folder.path / "out");
  plot_posterior(file, picture, title, {"law", "it's"}, mixture());
  return test::read_bytes(folder.path / "out");
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(posterior_plot)

BOOST_AUTO_TEST_CASE(the_suffix_chooses_the_kind_of_picture) {
  BOOST_TEST(terminal_of("a/b.svg").starts_with("svg "));
  BOOST_TEST(terminal_of("b.svg.png").starts_with("pngcairo "));
  for (const char* other : {"picture", "picture.PNG", "picture.pdf", "svg", ".svg"})
    BOOST_CHECK_EXCEPTION(terminal_of(other), UsageError, [&](const UsageError& error) {
      return error.what() == concat("--plot: '", other, "' is neither .svg nor .png");
    });
}

BOOST_AUTO_TEST_CASE(quotes_double_between_quotes) {
  BOOST_TEST(quoted("plain \"text\" \\n") == "'plain \"text\" \\n'");
  BOOST_TEST(quoted("it's") == "'it''s'");
  BOOST_TEST(quoted("''") == "''''''");
  BOOST_TEST(quoted("") == "''");
}

BOOST_AUTO_TEST_CASE(rows_are_cumulative) {
  BOOST_TEST(data_block("rows", {{0.25, 0.5, 0.25}, {0, 0, 1}}) ==
             "$rows << END\n1 0 0.25 0.75 1\n2 0 0 0 1\nEND\n");
}

BOOST_AUTO_TEST_CASE(a_band_per_expert_between_its_columns) {
  const auto plot = bands("rows", {"a", "b"}, 5);
  BOOST_TEST(plot.starts_with("set xrange [1:5]\nplot $rows using 1:2:3 with filledcurves "));
  BOOST_TEST(contains(plot, " title 'a', $rows using 1:3:4 "));
  BOOST_TEST(plot.ends_with(" title 'b'\n"));
  BOOST_TEST(bands("rows", {"a"}, 1).starts_with("set xrange [1:2]\n"));  // gnuplot refuses [1:1]
}

BOOST_AUTO_TEST_CASE(the_script_has_the_posteriors_and_what_gnuplot_prints_is_the_picture) {
  const FakeGnuplot echo("/bin/cat");
  const auto script = draw("p.svg", "mixture of 'a'");
  BOOST_TEST(contains(script, "set terminal svg "));
  BOOST_TEST(contains(script, "title 'mixture of ''a'''"));
  BOOST_TEST(contains(script, "title 'it''s'"));
  // Both batches: 1/2 first; then 3/4 in one, and 1/4 in the other.
  BOOST_TEST(contains(script, "$positions << END\n1 0 0.5 1\n2 0 0.5 1\nEND\n"));
  BOOST_TEST(contains(script, "$batches << END\n1 0 0.75 1\n2 0 0.25 1\nEND\n"));
}

BOOST_AUTO_TEST_CASE(without_gnuplot_or_where_it_fails_there_is_no_picture) {
  const auto draw_png = [] { draw("p.png", "t"); };
  {
    const FakeGnuplot none("");
    for (const auto& message : {error_of(draw_png), error_of([] { require_plot("p.png"); })})
      BOOST_TEST(message == "--plot: gnuplot draws the picture and is not installed (package gnuplot-nox)");
  }
  {
    const FakeGnuplot failing("echo half; echo no such terminal >&2; exit 3");
    BOOST_TEST(error_of(draw_png) == "--plot: gnuplot failed (exit code 3): no such terminal\n");
  }
  {
    const FakeGnuplot killed("kill -TERM $$");
    BOOST_TEST(error_of(draw_png) == "--plot: gnuplot failed (signal 15): ");
  }
  {
    const FakeGnuplot silent("exit 0");
    BOOST_TEST(error_of(draw_png) == "--plot: gnuplot failed (exit code 0): ");
  }
  const FakeGnuplot working("echo gnuplot 5.4");
  BOOST_TEST(error_of([] { require_plot("p.png"); }) == "no error");
  BOOST_CHECK_THROW(require_plot("p.gif"), UsageError);
}

BOOST_AUTO_TEST_SUITE_END()
