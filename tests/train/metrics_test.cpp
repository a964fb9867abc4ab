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

BOOST_AUTO_TEST_SUITE_END()
