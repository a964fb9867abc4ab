#include "demix/core/processors.hpp"

#include <boost/test/unit_test.hpp>

#include "temporary_folder.hpp"

using namespace demix;
namespace fs = std::filesystem;

namespace {

/// A tree of control groups in a folder of its own.
struct Groups {
  void set(const std::string& group, const std::string& name, const std::string& text) const {
    fs::create_directories(mount() / group);
    std::ofstream(mount() / group / name) << text << "\n";
  }
  fs::path mount() const { return folder.path / "cgroup"; }

  double quota(const std::string& root, const std::string& type, const std::string& options,
               const std::string& groups) const {
    std::istringstream mounts("21 1 0:20 / /proc rw,nosuid shared:5 - proc proc rw\n31 23 0:28 " + root +
                              " " + mount().string() + " rw,relatime shared:9 - " + type + " cgroup " +
                              options + "\n");
    return processor_quota(mounts, groups);
  }

  const test::TemporaryFolder folder;
};

const double none = std::numeric_limits<double>::infinity();

}  // namespace

BOOST_AUTO_TEST_SUITE(processors)

BOOST_AUTO_TEST_CASE(version_2_takes_the_least_quota_on_the_way) {
  const Groups groups;
  BOOST_TEST(groups.quota("/", "cgroup2", "rw", "0::/a/b\n") == none);
  groups.set("", "cpu.max", "max 100000");
  groups.set("a", "cpu.max", "150000 100000");
  groups.set("a/b", "cpu.max", "max 100000");
  BOOST_TEST(groups.quota("/", "cgroup2", "rw", "0::/a/b\n") == 1.5);
  groups.set("a/b", "cpu.max", "50000 100000");
  BOOST_TEST(groups.quota("/", "cgroup2", "rw", "0::/a/b\n") == 0.5);
  BOOST_TEST(groups.quota("/", "cgroup2", "rw", "0::/a\n") == 1.5);
  BOOST_TEST(groups.quota("/", "cgroup2", "rw", "0::/\n") == none);
}

BOOST_AUTO_TEST_CASE(version_1_reads_the_hierarchy_of_cpu) {
  const Groups groups;
  const std::string lines = "3:memory:/m\n2:cpu,cpuacct:/a\n0::/\n";
  groups.set("", "cpu.cfs_quota_us", "-1");
  groups.set("", "cpu.cfs_period_us", "100000");
  BOOST_TEST(groups.quota("/", "cgroup", "rw,cpu,cpuacct", lines) == none);
  groups.set("a", "cpu.cfs_quota_us", "400000");
  groups.set("a", "cpu.cfs_period_us", "200000");
  BOOST_TEST(groups.quota("/", "cgroup", "rw,cpu,cpuacct", lines) == 2);
  BOOST_TEST(groups.quota("/", "cgroup", "rw,cpuacct", lines) == none);
  BOOST_TEST(groups.quota("/", "cgroup", "rw,cpuset", lines) == none);
}

BOOST_AUTO_TEST_CASE(a_container_sees_its_own_group_at_the_top) {
  const Groups groups;
  groups.set("", "cpu.max", "200000 100000");
  BOOST_TEST(groups.quota("/docker/1", "cgroup2", "rw", "0::/docker/1\n") == 2);
  BOOST_TEST(groups.quota("/docker/1", "cgroup2", "rw", "0::/elsewhere\n") == 2);
  groups.set("in", "cpu.max", "100000 100000");
  BOOST_TEST(groups.quota("/docker/1", "cgroup2", "rw", "0::/docker/1/in\n") == 1);
}

BOOST_AUTO_TEST_CASE(what_is_no_control_group_is_no_quota) {
  const Groups groups;
  groups.set("", "cpu.max", "not a number");
  BOOST_TEST(groups.quota("/", "cgroup2", "rw", "0::/\n") == none);
  BOOST_TEST(groups.quota("/", "cgroup2", "rw", "") == none);
  std::istringstream nothing, noise("- - -\n\n31 23\n");
  BOOST_TEST(processor_quota(nothing, "0::/\n") == none);
  BOOST_TEST(processor_quota(noise, "0::/\n") == none);
}

BOOST_AUTO_TEST_CASE(affinity_limits_the_processors) {
  cpu_set_t before, one;
  BOOST_REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  BOOST_TEST(available_processors() >= 1);
  BOOST_TEST(available_processors() <= CPU_COUNT(&before));
  CPU_ZERO(&one);
  for (int cpu = 0; CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  BOOST_REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  BOOST_TEST(available_processors() == 1);
  BOOST_REQUIRE(sched_setaffinity(0, sizeof before, &before) == 0);
}

BOOST_AUTO_TEST_SUITE_END()
