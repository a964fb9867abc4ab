#include "demix/data/indexed_file_writer.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "data/hand_made.hpp"

using namespace demix;
using namespace demix::test;
using data::TokenFile;
using data::TokenFileWriter;

BOOST_AUTO_TEST_SUITE(indexed_file_writer)

BOOST_FIXTURE_TEST_CASE(writes_the_same_bytes, HandMade) {
  write_documents(path / "y", {{4, 2}, {}, {7, 5, 2}}, 8);
  BOOST_TEST(read_file(path / "y.idx") == index);
  BOOST_TEST(read_file(path / "y.bin") == bin);
  // 65 500 symbols and more: i32.
  write_documents(path / "z", {{4, 2}, {65499}}, 65500);
  BOOST_TEST(read_file(path / "z.idx") == index_bytes(4, {2, 1}, {0, 8}));
  BOOST_TEST(read_file(path / "z.bin") == bytes_of<std::int32_t>({4, 2, 65499}));
  write_documents(path / "w", {{65498}}, 65499);
  BOOST_TEST(read_file(path / "w.bin") == bytes_of<std::uint16_t>({65498}));
}

BOOST_FIXTURE_TEST_CASE(the_writer_refuses_ids_outside_the_vocabulary, TemporaryFolder) {
  TokenFileWriter writer(path / "x", 10);
  const std::vector<Token> too_large{1, 10}, negative{-1};
  check_mentions(error_of([&] { writer.add(too_large); }), {"id 10", "10 symbols"});
  check_mentions(error_of([&] { writer.add(negative); }), {"id -1"});
}

BOOST_FIXTURE_TEST_CASE(an_abandoned_writer_leaves_nothing_and_keeps_the_old, TemporaryFolder) {
  write_documents(path / "x", {{1, 2, 3}}, 10);
  {
    TokenFileWriter writer(path / "x", 10);
    writer.add(std::vector<Token>{4});
  }
  BOOST_TEST(std::distance(fs::directory_iterator(path), fs::directory_iterator()) == 2);
  BOOST_TEST(read_all(TokenFile(path / "x", 10)) == (std::vector<Token>{1, 2, 3}),
             boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_killed_writer_leaves_nothing_that_looks_whole, TemporaryFolder) {
  const pid_t child = fork();
  BOOST_REQUIRE(child >= 0);
  if (child == 0) {
    TokenFileWriter writer(path / "x", 10);
    for (int i = 0; i < 300000; ++i) writer.add(std::vector<Token>{1, 2, 3});
    kill(getpid(), SIGKILL);
    _exit(1);
  }
  int status = 0;
  BOOST_REQUIRE(waitpid(child, &status, 0) == child);
  BOOST_REQUIRE(WIFSIGNALED(status));
  BOOST_TEST(!fs::exists(path / "x.idx"));
  BOOST_TEST(!fs::exists(path / "x.bin"));
  BOOST_TEST(fs::file_size(durable::partial(path / "x.bin")) > 0u);
  // The next run starts from nothing.
  write_documents(path / "x", {{5}}, 10);
  BOOST_TEST(read_all(TokenFile(path / "x", 10)) == (std::vector<Token>{5}),
             boost::test_tools::per_element());
  BOOST_TEST(std::distance(fs::directory_iterator(path), fs::directory_iterator()) == 2);
}

BOOST_FIXTURE_TEST_CASE(a_writer_in_a_missing_folder_says_so, TemporaryFolder) {
  check_mentions(error_of([&] { TokenFileWriter(path / "absent" / "x", 10); }), {"absent", "No such file"});
}

BOOST_AUTO_TEST_SUITE_END()
