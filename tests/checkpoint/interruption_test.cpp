// Saves that are killed, or that find the disk full.

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cstdlib>
#include <random>

#include "checkpoint/fixtures.hpp"
#include "demix/checkpoint/folder.hpp"

namespace demix::test {
namespace {

using checkpoint::CheckpointFolder;

struct Trainee {
  device::Cpu device;
  Experts model{device, small_config(), {"a", "b"}, Seed{1}};
  Experts::Gradients m = model.make_gradients(), v = model.make_gradients();

  void fill(std::uint64_t step) {
    fill_random_bits(model, model.weights().master(), 3 * step);
    fill_random_bits(model, m, 3 * step + 1);
    fill_random_bits(model, v, 3 * step + 2);
  }

  /// What a trainer does after an update.
  void save(CheckpointFolder& folder, std::uint64_t step) {
    fill(step);
    const auto state = state_of(model, m, v, std::to_string(step));
    checkpoint::save(folder.path_of(step), metadata_of(model, "demix", step), model, &state);
    folder.point("checkpoint_last", step);
    if (step % 3 == 0) folder.point("checkpoint_best", step);
    folder.keep_newest(2);
  }
};

/// Loads checkpoints and compares them with what their step must have left.
class Inspector {
 public:
  void check_whole(const fs::path& path, std::uint64_t step) {
    expected_.fill(step);
    BOOST_TEST(checkpoint::read_metadata(path).step == step);
    checkpoint::load_values(path, loaded_.model);
    auto state = state_of(loaded_.model, loaded_.m, loaded_.v);
    const checkpoint::SavedState saved{checkpoint::Checkpoint(path)};
    saved.load(loaded_.model.device(), state);
    BOOST_TEST(saved.scalars() == std::to_string(step));
    BOOST_TEST(differing_values(expected_.model, expected_.model.weights().master(),
                                loaded_.model.weights().master()) == 0u);
    BOOST_TEST(differing_values(expected_.model, expected_.m, loaded_.m) == 0u);
    BOOST_TEST(differing_values(expected_.model, expected_.v, loaded_.v) == 0u);
  }

 private:
  Trainee expected_, loaded_;
};

bool has_partial(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".partial") return true;
  return false;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(interruption)

// The child says when it begins a save. It is killed at some moment of its first or second one, so that it
// gets on however slow the machine is.
BOOST_AUTO_TEST_CASE(killed_at_random_moments) {
  const TemporaryFolder temporary;
  std::mt19937 random(1);
  Trainee trainee;
  Inspector inspector;
  std::size_t interrupted = 0;
  std::uint64_t previous = 0;
  std::chrono::microseconds one_save{1000};
  const auto enough = [&] { return interrupted > 10 && previous > 10; };
  for (int kills = 0; kills < 60 || (kills < 600 && !enough()); ++kills) {
    int progress[2];
    BOOST_TEST_REQUIRE(pipe(progress) == 0);
    const pid_t child = start_child([&] {
      CheckpointFolder folder(temporary.path);
      folder.remove_partial();
      if (const auto latest = folder.latest_step()) folder.point("checkpoint_last", *latest);
      for (std::uint64_t step = folder.latest_step().value_or(0) + 1;; ++step) {
        if (write(progress[1], "s", 1) != 1) return 1;
        trainee.save(folder, step);
      }
    });
    char begins = 0;
    BOOST_TEST_REQUIRE(read(progress[0], &begins, 1) == 1);
    if (kills % 2 == 0) {
      const auto started = std::chrono::steady_clock::now();
      BOOST_TEST_REQUIRE(read(progress[0], &begins, 1) == 1);
      one_save =
          std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - started);
    }
    usleep(std::uniform_int_distribution<useconds_t>(0, static_cast<useconds_t>(one_save.count()))(random));
    kill(child, SIGKILL);
    const int status = status_of(child);
    close(progress[0]);
    close(progress[1]);
    BOOST_TEST_REQUIRE(status == -SIGKILL);
    interrupted += has_partial(temporary.path);
    CheckpointFolder folder(temporary.path);
    // Before anything is tidied, all that carries a checkpoint's name is whole.
    for (const auto& entry : fs::directory_iterator(temporary.path))
      if (const auto name = entry.path().filename().string();
          name.starts_with("checkpoint_") && !entry.is_symlink())
        inspector.check_whole(entry.path(), std::stoull(name.substr(name.find('_') + 1)));
    folder.remove_partial();
    BOOST_TEST(!has_partial(temporary.path));
    const auto latest = folder.latest_step();
    BOOST_TEST_REQUIRE(latest.value_or(0) >= previous);
    previous = latest.value_or(0);
    BOOST_TEST(folder.step_of("checkpoint_last").value_or(0) + 1 >= previous);
  }
  BOOST_TEST(interrupted > 10u);
  BOOST_TEST(previous > 10u);
  BOOST_TEST_MESSAGE(interrupted << " kills in the middle of a change, " << previous << " saves");
}

// Every file size limit below what the largest file needs, as a disk that is full at that moment.
BOOST_AUTO_TEST_CASE(full_disk_at_any_moment) {
  const TemporaryFolder temporary;
  const auto complaints = temporary.path / "stderr";
  Trainee trainee;
  Inspector inspector;
  CheckpointFolder folder(temporary.path);
  trainee.save(folder, 1);
  std::size_t largest = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder.path_of(1)))
    if (entry.is_regular_file()) largest = std::max<std::size_t>(largest, entry.file_size());
  for (std::size_t limit = 0; limit < largest; limit += (largest / 24) | 1) {
    const int status = run_child([&] {
      signal(SIGXFSZ, SIG_IGN);
      dup2(creat(complaints.c_str(), 0600), 2);
      rlimit limits{limit, RLIM_INFINITY};
      setrlimit(RLIMIT_FSIZE, &limits);
      const auto error = error_of([&] { trainee.save(folder, 2); });
      limits.rlim_cur = RLIM_INFINITY;
      setrlimit(RLIMIT_FSIZE, &limits);
      if (!mentions(error, {".checkpoint_2.partial", ".h5"}) || has_partial(temporary.path)) {
        std::fprintf(stderr, "%s\n", error.c_str());
        return 1;
      }
      if (limit % 2 == 0) trainee.save(folder, 2);
      // Not _exit: HDF5 must have nothing to say at the end.
      exit(0);
    });
    const auto printed = read_bytes(complaints);
    BOOST_TEST(status == 0, "limit " << limit << ", status " << status << ", " << printed);
    BOOST_TEST(printed == "");
    BOOST_TEST(fs::exists(folder.path_of(2)) == (limit % 2 == 0));
    if (limit % 2 == 0) inspector.check_whole(folder.path_of(2), 2);
    fs::remove_all(folder.path_of(2));
  }
  inspector.check_whole(folder.path_of(1), 1);
}

// A small file system of its own, first full and then read-only; needs root.
BOOST_AUTO_TEST_CASE(full_and_read_only_file_systems) {
  const TemporaryFolder temporary;
  Trainee trainee;
  const int status = run_child([&] {
    const auto path = temporary.path.string();
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount("tmpfs", path.c_str(), "tmpfs", 0, "size=128k") != 0)
      return 77;
    CheckpointFolder folder(temporary.path);
    trainee.save(folder, 1);
    const auto full = error_of([&] { trainee.save(folder, 2); });
    bool ok = mentions(full, {".checkpoint_2.partial", "No space left on device"}) &&
              *folder.latest_step() == 1 && !has_partial(temporary.path);
    if (mount("none", path.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) return 77;
    const auto read_only = error_of([&] { CheckpointFolder again(temporary.path); });
    const auto removal = error_of([&] { trainee.save(folder, 2); });
    ok = ok && mentions(read_only, {path, "Read-only"}) && mentions(removal, {"Read-only"});
    checkpoint::load_values(folder.path_of(1), trainee.model);
    if (!ok) std::fprintf(stderr, "%s\n%s\n%s\n", full.c_str(), read_only.c_str(), removal.c_str());
    return ok ? 0 : 1;
  });
  if (status == 77) BOOST_TEST_MESSAGE("skipped: no right to mount a file system");
  BOOST_TEST((status == 0 || status == 77), "status " << status);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
