#include "demix/prepare/staging_folder.hpp"

#include "data/support.hpp"

using namespace demix;
using namespace demix::test;
using prepare::StagingFolder;
using Paths = std::vector<std::string>;

BOOST_AUTO_TEST_SUITE(staging_folder)

BOOST_FIXTURE_TEST_CASE(a_new_folder_appears_whole, TemporaryFolder) {
  {
    StagingFolder staging(path / "new");
    BOOST_TEST(staging.path() == path / "new.demix-partial");
    BOOST_TEST(staging.target_is_empty());
    write_file(staging.path() / "a", "1");
    staging.publish({"a"});
  }
  BOOST_TEST(read_file(path / "new" / "a") == "1");
  BOOST_TEST(!fs::exists(path / "new.demix-partial"));
  { const StagingFolder given_up(path / "other"); }
  BOOST_TEST(!fs::exists(path / "other"));
  BOOST_TEST(!fs::exists(path / "other.demix-partial"));
}

BOOST_FIXTURE_TEST_CASE(a_folder_that_exists_is_filled_in_its_place, TemporaryFolder) {
  fs::create_directories(path / "real" / "lost+found");
  fs::create_directory_symlink("real", path / "link");
  {
    StagingFolder staging(path / "link");
    BOOST_TEST(staging.path() == fs::canonical(path / "real") / ".demix-partial");
    BOOST_TEST(staging.target_is_empty());
    write_file(staging.path() / "a" / "b", "1");
    write_file(staging.path() / "last", "2");
    write_file(staging.path() / "scratch", "3");
    BOOST_TEST(staging.in_users_terms(concat("cannot write ", staging.path() / "a")) ==
               concat("cannot write ", path / "link" / "a"));
    staging.publish({"a", "last"});
  }
  BOOST_TEST(files_under(path / "real") == (Paths{"a/b", "last"}), boost::test_tools::per_element());
  BOOST_TEST(!fs::exists(path / "real" / ".demix-partial"));
  {
    StagingFolder more(path / "real");
    BOOST_TEST(!more.target_is_empty());
    write_file(more.path() / "last", "new");
    more.publish({"last"});
  }
  BOOST_TEST(read_file(path / "real" / "last") == "new");
}

// A run that was killed while it moved what it had made.
BOOST_FIXTURE_TEST_CASE(an_unfinished_publish_is_taken_back, TemporaryFolder) {
  const auto partial = path / "bin" / ".demix-partial";
  write_file(path / "bin" / "old" / "x", "1");
  write_file(path / "bin" / "summary.json", "old");
  write_file(path / "bin" / "first" / "x", "moved");
  write_file(partial / "second" / "x", "not yet");
  write_file(partial / "summary.json", "new");
  write_file(partial / ".publishing", "first\nsecond\nsummary.json\n");
  {
    const StagingFolder staging(path / "bin");
    BOOST_TEST(fs::is_empty(partial));
  }
  BOOST_TEST(files_under(path / "bin") == (Paths{"old/x", "summary.json"}), boost::test_tools::per_element());
  BOOST_TEST(read_file(path / "bin" / "summary.json") == "old");

  // It was killed after the last move: all is there, and stays.
  write_file(path / "bin" / "first" / "x", "moved");
  write_file(partial / ".publishing", "first\nsummary.json\n");
  { const StagingFolder staging(path / "bin"); }
  BOOST_TEST(files_under(path / "bin") == (Paths{"first/x", "old/x", "summary.json"}),
             boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_publish_that_fails_is_taken_back, TemporaryFolder) {
  write_file(path / "bin" / "taken" / "x", "1");
  {
    StagingFolder staging(path / "bin");
    write_file(staging.path() / "first" / "x", "2");
    write_file(staging.path() / "last", "3");
    error_of([&] { staging.publish({"first", "absent", "last"}); });
    BOOST_TEST(fs::exists(path / "bin" / "first"));
  }
  BOOST_TEST(files_under(path / "bin") == Paths{"taken/x"}, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(places_that_cannot_be_filled_are_refused_at_once, TemporaryFolder) {
  const auto refusal = [](const fs::path& target) {
    return error_of([&] { StagingFolder staging(target); });
  };
  const StagingFolder held(path / "new");
  check_mentions(refusal(path / "new"), {"another process", "new"});
  fs::create_symlink("nothing", path / "dangling");
  check_mentions(refusal(path / "dangling"), {"dangling", "link to nothing"});
  write_file(path / "file", "");
  check_mentions(refusal(path / "file"), {(path / "file").string(), "not a data-bin"});
  check_mentions(refusal(path / "file" / "x"), {"cannot create", "file/x"});
}

BOOST_AUTO_TEST_SUITE_END()
