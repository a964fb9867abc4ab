#include "demix/core/partial_folder.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <vector>

#include "processes.hpp"
#include "temporary_folder.hpp"

namespace demix::test {
namespace fs = std::filesystem;
namespace {

using durable::PartialFolder;

struct Place {
  TemporaryFolder temporary;
  fs::path target = temporary.path / "out", partial = temporary.path / ".out.partial";

  bool empty() const { return fs::is_empty(temporary.path); }

  /// As a process that is killed in the middle of its work leaves it.
  void leave_half() const {
    const int status = status_of(start_child([&] {
      const PartialFolder folder(target);
      write(folder.content() / "half", "half");
      raise(SIGKILL);
      return 0;
    }));
    BOOST_TEST_REQUIRE(status == -SIGKILL);
    BOOST_TEST_REQUIRE(fs::exists(partial / "content" / "half"));
  }

  static void write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }
  static std::string read(const fs::path& path) {
    std::string text;
    std::getline(std::ifstream(path) >> std::ws, text);
    return text;
  }
  static std::string refusal(auto f) {
    try {
      f();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(partial_folder, Place)

BOOST_AUTO_TEST_CASE(appears_whole_or_not_at_all) {
  {
    const PartialFolder folder(target);
    BOOST_TEST(folder.content() == PartialFolder::content_of(target));
    write(folder.content() / "a", "1");
  }
  BOOST_TEST(empty());
  {
    PartialFolder folder(target);
    write(folder.content() / "a", "1");
    BOOST_TEST(!fs::exists(target));
    folder.publish();
  }
  BOOST_TEST(read(target / "a") == "1");
  BOOST_TEST(std::distance(fs::directory_iterator(target), {}) == 1);
  BOOST_TEST(!fs::exists(partial));
  BOOST_TEST(refusal([&] { PartialFolder again(target); }).find("exists already") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_living_process_is_left_alone) {
  PartialFolder folder(target);
  write(folder.content() / "a", "1");
  BOOST_TEST(refusal([&] { PartialFolder other(target); }).find("another process is writing it") !=
             std::string::npos);
  PartialFolder::remove_abandoned(partial);
  BOOST_TEST(read(folder.content() / "a") == "1");
  folder.publish();
  BOOST_TEST(read(target / "a") == "1");
}

BOOST_AUTO_TEST_CASE(a_dead_process_is_cleaned_up_after) {
  leave_half();
  {
    PartialFolder folder(target);
    BOOST_TEST(fs::is_empty(folder.content()));
    write(folder.content() / "a", "1");
    folder.publish();
  }
  BOOST_TEST(std::distance(fs::directory_iterator(target), {}) == 1);
  BOOST_TEST(!fs::exists(partial));
  fs::remove_all(target);
  leave_half();
  PartialFolder::remove_abandoned(partial);
  BOOST_TEST(empty());
  // After the renaming, but before its end.
  leave_half();
  fs::create_directory(target);
  refusal([&] { PartialFolder again(target); });
  BOOST_TEST(!fs::exists(partial));
}

BOOST_AUTO_TEST_CASE(a_name_that_is_taken_meanwhile_is_kept) {
  {
    PartialFolder folder(target);
    fs::create_directory(target);
    BOOST_TEST(refusal([&] { folder.publish(); }).find("File exists") != std::string::npos);
  }
  BOOST_TEST(fs::is_empty(target));
  BOOST_TEST(!fs::exists(partial));
}

BOOST_AUTO_TEST_CASE(a_link_in_the_way_is_not_followed) {
  const auto precious = temporary.path / "precious";
  fs::create_directory(precious);
  write(precious / "a", "1");
  fs::create_symlink(precious, partial);
  BOOST_TEST(refusal([&] { PartialFolder folder(target); }).find("is in the way") != std::string::npos);
  PartialFolder::remove_abandoned(partial);
  BOOST_TEST(!fs::exists(fs::symlink_status(partial)));
  BOOST_TEST(read(precious / "a") == "1");
}

// Several processes that want one name at the same moment: one gets it, whole, and nothing else is left.
BOOST_AUTO_TEST_CASE(many_at_once) {
  for (int round = 0; round < 60; ++round) {
    int gate[2];
    BOOST_TEST_REQUIRE(pipe(gate) == 0);
    std::vector<pid_t> children;
    for (int id = 0; id < 4; ++id)
      children.push_back(start_child([&] {
        char open = 0;
        ::close(gate[1]);
        if (::read(gate[0], &open, 1) != 0) return 2;  // until the parent closes the other end
        try {
          PartialFolder folder(target);
          for (const char* name : {"a", "b", "c"}) write(folder.content() / name, std::to_string(id));
          folder.publish();
        } catch (const Error&) {
          return 1;
        }
        return 0;
      }));
    ::close(gate[1]);
    ::close(gate[0]);
    int winner = -1, winners = 0;
    for (int id = 0; id < 4; ++id) {
      const int status = status_of(children[static_cast<std::size_t>(id)]);
      BOOST_TEST_REQUIRE((status == 0 || status == 1));
      if (status == 0) winner = id;
      winners += status == 0;
    }
    BOOST_TEST_REQUIRE(winners == 1);
    for (const char* name : {"a", "b", "c"}) BOOST_TEST(read(target / name) == std::to_string(winner));
    BOOST_TEST(!fs::exists(partial));
    fs::remove_all(target);
  }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
