// New checkpoints from damaged parts, on full disks and from read-only folders.

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "checkpoint/compose_fixture.hpp"
#include "demix/checkpoint/compose.hpp"

using namespace demix;
using namespace demix::test;
using namespace demix::checkpoint;

BOOST_AUTO_TEST_SUITE(composing_damaged)

BOOST_FIXTURE_TEST_CASE(damage_anywhere_in_what_is_copied_is_found, ComposeFixture) {
  for (const auto& file : {expert_file(base, "code"), model_file(base)}) {
    const auto whole = read_bytes(file);
    std::string damaged = whole;
    damaged[damaged.size() - 100] =
        static_cast<char>(damaged[damaged.size() - 100] ^ 1);  // in the last values
    std::ofstream(file, std::ios::binary) << damaged;
    BOOST_CHECK_THROW(remove_experts(base, {"law"}, out("x")), Error);
    std::ofstream(file, std::ios::binary) << whole.substr(0, whole.size() / 2);
    BOOST_CHECK_THROW(remove_experts(base, {"law"}, out("x")), Error);
    std::ofstream(file, std::ios::binary) << whole;
  }
  BOOST_TEST(!fs::exists(out("x")));
  BOOST_TEST(!fs::exists(durable::partial(out("x"))));
  remove_experts(base, {"law"}, out("x"));
}

// A flipped bit in any parameter of any file that is read: also of the experts that are only copied.
BOOST_FIXTURE_TEST_CASE(a_flipped_bit_in_any_parameter_is_found, ComposeFixture) {
  const auto other = variant("other", [](Experts&) {});
  std::size_t tried = 0;
  for (const auto& file :
       {model_file(base), expert_file(base, "code"), model_file(other), expert_file(other, "novel")}) {
    const auto whole = read_bytes(file);
    const auto layout = hdf5::stored_layout(hdf5::open_file(file));
    for (const auto& parameter : layout.parameters()) {
      auto damaged = whole;
      const auto at = offset_of(file, parameter.name.c_str()) + 2;
      damaged[at] = static_cast<char>(damaged[at] ^ 16);
      write_bytes(file, damaged);
      check_refused(
          [&] {
            add_experts(base, {{other, "novel", "novel"}}, out("x"));
          },
          "dataset '" + parameter.name + "' is damaged");
      ++tried;
    }
    write_bytes(file, whole);
  }
  BOOST_TEST(tried > 60u);
  BOOST_TEST(!fs::exists(out("x")));
}

// Every file size limit below what the largest file needs, as a disk that is full at that moment.
BOOST_FIXTURE_TEST_CASE(a_full_disk_leaves_no_trace, ComposeFixture) {
  const auto other = variant("other", [](Experts&) {});
  const auto before = files_of(folder.path);
  std::size_t largest = 0;
  for (const auto& [name, content] : before) largest = std::max(largest, content.size());
  const std::size_t step = largest / 24;
  for (std::size_t limit = 0; limit < largest; limit += step) {
    const int status = run_child([&] {
      signal(SIGXFSZ, SIG_IGN);
      const rlimit limits{limit, RLIM_INFINITY};
      setrlimit(RLIMIT_FSIZE, &limits);
      const auto error = error_of([&] {
        add_experts(base, {{other, "novel", "n"}, {other, "news", "m"}}, out("x"));
      });
      return mentions(error, {".x.partial", ".h5"}) ? 0 : 1;
    });
    BOOST_TEST(status == 0, "limit " << limit);
    BOOST_TEST((files_of(folder.path) == before));
    BOOST_TEST(!fs::exists(durable::partial(out("x"))));
  }
}

// Needs root, for a mount of its own.
BOOST_FIXTURE_TEST_CASE(read_only_inputs_serve, ComposeFixture) {
  const auto other = variant("other", [](Experts&) {});
  const int status = run_child([&] {
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
      return 77;
    for (const auto& path : {base, other})
      if (mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
          mount("none", path.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0)
        return 77;
    std::ofstream probe(base / "probe");
    if (probe.good()) return 1;
    add_experts(base, {{other, "novel", "novel"}, {other, "news", "m"}}, out("more"));
    remove_experts(out("more"), {"novel"}, out("less"));
    merge_experts(base, {{"news", 1}, {"law", 1}}, "both", out("merged"));
    extract_expert(base, "law", out("dense"));
    const auto inside = error_of([&] { rename_expert(base, "law", "x", base / "x"); });
    return mentions(inside, {"lies in the checkpoint"}) ? 0 : 2;
  });
  if (status == 77) BOOST_TEST_MESSAGE("skipped: no right to mount a file system");
  BOOST_TEST((status == 0 || status == 77), "status " << status);
}

BOOST_AUTO_TEST_SUITE_END()
