#include "demix/checkpoint/folder.hpp"

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"

namespace demix::test {
namespace {

using checkpoint::CheckpointFolder;

/// Directories that look like checkpoints from outside; the folder never looks into them.
struct Run {
  TemporaryFolder temporary;
  fs::path path = temporary.path / "runs" / "new";
  CheckpointFolder folder{path};

  void add(std::initializer_list<std::uint64_t> steps) {
    for (const auto step : steps) {
      fs::create_directory(folder.path_of(step));
      write_bytes(folder.path_of(step) / "model.h5", std::to_string(step));
    }
  }

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& entry : fs::directory_iterator(path)) result.push_back(entry.path().filename().string());
    std::sort(result.begin(), result.end());
    return result;
  }
};

using Names = std::vector<std::string>;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(checkpoint_folder, Run)

BOOST_AUTO_TEST_CASE(latest_is_by_number_and_only_by_exact_names) {
  BOOST_TEST(fs::is_directory(path));
  BOOST_TEST(!folder.latest_step());
  BOOST_TEST(folder.path_of(12).filename().string() == "checkpoint_12");
  for (const char* name : {"checkpoint_007", "checkpoint_12x", "checkpoint_", "checkpoint_-3",
                           "checkpoint_+4", "checkpoint_18446744073709551616", "Checkpoint_20",
                           ".checkpoint_30.partial", "checkpoint_40.partial", "checkpoint_last"})
    fs::create_directory(path / name);
  write_bytes(path / "checkpoint_99", "a file");
  BOOST_TEST(!folder.latest_step());
  add({0});
  BOOST_TEST(*folder.latest_step() == 0u);
  add({9, 10});
  BOOST_TEST(*folder.latest_step() == 10u);
  add({18446744073709551615u});
  BOOST_TEST(*folder.latest_step() == 18446744073709551615u);
}

BOOST_AUTO_TEST_CASE(links_move) {
  add({5, 6});
  BOOST_TEST(!folder.step_of("checkpoint_last"));
  folder.point("checkpoint_last", 5);
  folder.point("checkpoint_best", 5);
  folder.point("checkpoint_last", 6);
  BOOST_TEST(*folder.step_of("checkpoint_last") == 6u);
  BOOST_TEST(*folder.step_of("checkpoint_best") == 5u);
  BOOST_TEST(fs::read_symlink(path / "checkpoint_last").string() == "checkpoint_6");
  BOOST_TEST(read_bytes(path / "checkpoint_best" / "model.h5") == "5");
  BOOST_TEST(names() == (Names{"checkpoint_5", "checkpoint_6", "checkpoint_best", "checkpoint_last"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_link_survives_moving_the_folder) {
  add({5});
  folder.point("checkpoint_last", 5);
  fs::rename(path, temporary.path / "moved");
  BOOST_TEST(*CheckpointFolder(temporary.path / "moved").step_of("checkpoint_last") == 5u);
}

BOOST_AUTO_TEST_CASE(links_that_lead_nowhere) {
  add({5});
  BOOST_TEST(mentions(error_of([&] { folder.point("checkpoint_last", 6); }), {"checkpoint_6", "no such"}));
  folder.point("checkpoint_best", 5);
  fs::remove_all(folder.path_of(5));
  BOOST_TEST(!folder.step_of("checkpoint_best"));
  fs::create_symlink("elsewhere", path / "strange");
  BOOST_TEST(!folder.step_of("strange"));
  add({6});
  folder.point("checkpoint_best", 6);
  BOOST_TEST(*folder.step_of("checkpoint_best") == 6u);
}

BOOST_AUTO_TEST_CASE(a_link_never_replaces_a_directory) {
  add({5});
  fs::create_directory(path / "checkpoint_last");
  write_bytes(path / "checkpoint_last" / "precious", "");
  BOOST_TEST(mentions(error_of([&] { folder.point("checkpoint_last", 5); }), {"checkpoint_last"}));
  BOOST_TEST(fs::exists(path / "checkpoint_last" / "precious"));
}

// What cp -rL makes of a run's folder.
BOOST_AUTO_TEST_CASE(a_copy_with_directories_for_links) {
  device::Cpu device;
  Experts model(device, small_config(), {"a", "b"}, Seed{1});
  for (const std::uint64_t step : {5u, 6u}) save_without_state(folder.path_of(step), "demix", model, step);
  const auto copy = [&](std::uint64_t step, const char* name) {
    fs::remove_all(path / name);
    fs::copy(folder.path_of(step), path / name, fs::copy_options::recursive);
  };
  copy(6, "checkpoint_last");
  copy(5, "checkpoint_best");
  copy(5, "checkpoint_mine");  // a user's own copy stays
  folder.restore_links();
  folder.restore_links();
  BOOST_TEST(*folder.step_of("checkpoint_last") == 6u);
  BOOST_TEST(*folder.step_of("checkpoint_best") == 5u);
  BOOST_TEST(names() == (Names{"checkpoint_5", "checkpoint_6", "checkpoint_best", "checkpoint_last",
                               "checkpoint_mine"}),
             boost::test_tools::per_element());

  // The only copy of a step gets its name.
  copy(6, "checkpoint_last");
  fs::remove_all(folder.path_of(6));
  BOOST_TEST(*folder.latest_step() == 5u);
  folder.restore_links();
  BOOST_TEST(*folder.latest_step() == 6u);
  BOOST_TEST(*folder.step_of("checkpoint_last") == 6u);
  checkpoint::load_values(path / "checkpoint_last", model);

  // What is not the same is nobody's to remove.
  for (const char* change : {"experts/a.h5", "notes.txt"}) {
    copy(6, "checkpoint_last");
    write_bytes(path / "checkpoint_last" / change, "changed");
    BOOST_TEST(
        mentions(error_of([&] { folder.restore_links(); }), {"checkpoint_last", "differs", "checkpoint_6"}));
    BOOST_TEST(read_bytes(path / "checkpoint_last" / change) == "changed");
  }
  fs::remove_all(path / "checkpoint_last");
  fs::create_directory(path / "checkpoint_last");
  BOOST_TEST(mentions(error_of([&] { folder.restore_links(); }), {"checkpoint_last", "move it away"}));
}

BOOST_AUTO_TEST_CASE(never_in_a_checkpoint) {
  device::Cpu device;
  Experts model(device, small_config(), {"a", "b"}, Seed{1});
  save_without_state(folder.path_of(5), "demix", model, 5);
  folder.point("checkpoint_last", 5);
  for (const auto& place :
       {path / "checkpoint_5", path / "checkpoint_last", path / "checkpoint_last" / "x" / "y",
        path / "new" / ".." / "checkpoint_5" / "experts"}) {
    BOOST_TEST(
        mentions(error_of([&] { CheckpointFolder{place}; }), {place.string(), "lies in the checkpoint"}));
    BOOST_TEST(mentions(error_of([&] { save_without_state(place / "new", "demix", model); }),
                        {"lies in the checkpoint"}));
  }
  BOOST_TEST(std::distance(fs::directory_iterator(folder.path_of(5)), {}) == 2);
  // Beside it is fine, and in a folder that has some other model.h5 as well.
  write_bytes(path / "model.h5", "somebody else's");
  CheckpointFolder(path / "checkpoint_5x");
}

BOOST_AUTO_TEST_CASE(keeps_the_newest_and_the_linked) {
  add({1, 2, 3, 10, 20});
  folder.point("checkpoint_best", 2);
  folder.point("checkpoint_last", 20);
  folder.keep_newest(9);
  BOOST_TEST(names().size() == 7u);
  folder.keep_newest(2);
  BOOST_TEST(names() == (Names{"checkpoint_10", "checkpoint_2", "checkpoint_20", "checkpoint_best",
                               "checkpoint_last"}),
             boost::test_tools::per_element());
  folder.point("checkpoint_best", 20);
  folder.keep_newest(1);
  BOOST_TEST(names() == (Names{"checkpoint_20", "checkpoint_best", "checkpoint_last"}),
             boost::test_tools::per_element());
  BOOST_TEST(mentions(error_of([&] { folder.keep_newest(0); }), {"0"}));
}

// As after a kill while a checkpoint was being removed, and the same step saved and removed again.
BOOST_AUTO_TEST_CASE(removal_meets_its_own_leftovers) {
  add({1, 2});
  fs::create_directories(path / ".checkpoint_1.partial" / "experts");
  write_bytes(path / ".checkpoint_1.partial" / "experts" / "a.h5", "half");
  folder.keep_newest(1);
  BOOST_TEST(names() == Names{"checkpoint_2"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(remove_partial_takes_only_its_own) {
  add({3});
  folder.point("checkpoint_last", 3);
  fs::create_directories(path / ".checkpoint_4.partial" / "experts");
  write_bytes(path / ".checkpoint_4.partial" / "model.h5", "half");
  write_bytes(path / "checkpoint_3" / ".state.h5.partial", "half");
  fs::create_directory(path / "checkpoint_3" / ".state.partial");
  write_bytes(path / "checkpoint_3" / ".state.partial" / "a.h5", "half");
  fs::create_directory_symlink("checkpoint_3", path / ".checkpoint_best.partial");
  write_bytes(path / "metrics.jsonl", "{}");
  fs::create_directory(path / ".other.partial");
  fs::create_directory(path / ".checkpoint_notes");
  {
    const durable::PartialFolder living(path / "checkpoint_8");
    folder.remove_partial();
    BOOST_TEST(fs::is_directory(living.content()));
  }
  folder.remove_partial();
  BOOST_TEST(names() == (Names{".checkpoint_notes", ".other.partial", "checkpoint_3", "checkpoint_last",
                               "metrics.jsonl"}),
             boost::test_tools::per_element());
  BOOST_TEST(read_bytes(path / "checkpoint_3" / "model.h5") == "3");
  BOOST_TEST(!fs::exists(path / "checkpoint_3" / ".state.h5.partial"));
  BOOST_TEST(!fs::exists(path / "checkpoint_3" / ".state.partial"));
}

BOOST_AUTO_TEST_CASE(places_that_cannot_be_written) {
  write_bytes(temporary.path / "file", "");
  BOOST_TEST(mentions(error_of([&] { CheckpointFolder(temporary.path / "file"); }), {"file"}));
  BOOST_TEST(
      mentions(error_of([&] { CheckpointFolder(temporary.path / "file" / "below"); }), {"below", "create"}));
  device::Cpu device;
  Dense model(device, small_config(), {"a"}, Seed{1});
  BOOST_TEST(error_of([&] { save_without_state(temporary.path / "file" / "x", "dense", model); }) !=
             "no error");
  BOOST_TEST(mentions(error_of([&] { save_without_state(temporary.path / "absent" / "x", "dense", model); }),
                      {"absent", "create"}));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
