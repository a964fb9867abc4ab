#include "demix/train/metrics.hpp"

#include <boost/test/unit_test.hpp>

#include "data/support.hpp"

using demix::train::MetricsLog;

BOOST_AUTO_TEST_SUITE(metrics)

BOOST_AUTO_TEST_CASE(a_resumed_run_drops_the_lines_that_it_repeats_and_what_a_kill_cut) {
  const demix::test::TemporaryFolder folder;
  const auto path = folder.path / "metrics.jsonl";
  demix::test::write_file(path, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\nnot json\n{\"step\":2,\"cut");
  MetricsLog(path, 2).write({{"step", 3}, {"again", true}});
  BOOST_TEST(demix::test::read_file(path) == "{\"step\":1}\n{\"step\":2}\n{\"step\":3,\"again\":true}\n");
  MetricsLog(path, 0).write({{"step", 1}});
  BOOST_TEST(demix::test::read_file(path) == "{\"step\":1}\n");
}

BOOST_AUTO_TEST_CASE(a_file_that_cannot_be_written_is_an_error) {
  const demix::test::TemporaryFolder folder;
  BOOST_CHECK_THROW(MetricsLog(folder.path / "none" / "metrics.jsonl", 0), demix::Error);
}

BOOST_AUTO_TEST_CASE(a_validation_that_is_repeated_loses_its_line_alone) {
  const demix::test::TemporaryFolder folder;
  const auto path = folder.path / "metrics.jsonl";
  const std::string kept = "{\"step\":1,\"type\":\"valid\"}\n{\"step\":2,\"type\":\"train\"}\n";
  demix::test::write_file(path, kept + "{\"step\":2,\"type\":\"valid\"}\n");
  MetricsLog(path, 2, true);
  BOOST_TEST(demix::test::read_file(path) == kept);
}

BOOST_AUTO_TEST_CASE(lines_that_cannot_be_written_are_kept_until_they_can) {
  const demix::test::TemporaryFolder folder;
  const auto path = folder.path / "metrics.jsonl";
  MetricsLog log(path, 0);
  BOOST_TEST(log.write({{"step", 1}}));
  std::filesystem::remove(path);
  std::filesystem::create_symlink("/dev/full", path);
  BOOST_TEST(!log.write({{"step", 2}}));
  BOOST_TEST(!log.write({{"step", 3}}));
  BOOST_CHECK_THROW(log.complete(), demix::Error);
  std::filesystem::remove(path);
  BOOST_TEST(log.write({{"step", 4}}));
  log.complete();
  BOOST_TEST(demix::test::read_file(path) == "{\"step\":2}\n{\"step\":3}\n{\"step\":4}\n");
}

BOOST_AUTO_TEST_CASE(lines_that_are_no_metrics_are_named) {
  const demix::test::TemporaryFolder folder;
  const auto path = folder.path / "metrics.jsonl";
  for (const std::string line :
       {"[1]", "5", "null", "{}", "{\"step\":\"one\"}", "{\"step\":-1}", "{\"step\":1.5}"}) {
    const std::string text = "{\"step\":1}\n" + line + "\n";
    demix::test::write_file(path, text);
    demix::test::check_mentions(demix::test::error_of([&] { MetricsLog(path, 2); }),
                                {path.string() + "', line 2: " + line, "step", "save_dir"});
    BOOST_TEST(demix::test::read_file(path) == text);
  }
  BOOST_TEST(std::distance(std::filesystem::directory_iterator(folder.path),
                           std::filesystem::directory_iterator()) == 1);
}

BOOST_AUTO_TEST_SUITE_END()
