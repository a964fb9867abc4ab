// Whole runs on ranks, threads of one process, against one process: checkpoints, metrics, stops and failures.

#include <cmath>
#include <csignal>

#include "demix/train/trainer.hpp"
#include "train/rank_runs.hpp"

using namespace demix;
using namespace demix::test;

namespace {

const std::vector<std::string> four{"a", "b", "c", "d"};
// Adam takes whole steps along gradients that are rounding errors alone, so numbers are compared where these
// are far below its eps: in double precision.
using Fp64Experts = DEMixModel<device::Cpu, Fp64, ops::Relu>;
using Fp64Dense = DenseModel<device::Cpu, Fp64, ops::Relu>;
using Fp64Tokens = DomainTokenModel<device::Cpu, Fp64, ops::Relu>;

/// The numbers of every dataset below a group, by file and slot.
void read_numbers(hid_t group, const std::string& name, std::map<std::string, std::vector<double>>& numbers) {
  H5G_info_t info;
  H5Gget_info(group, &info);
  for (hsize_t i = 0; i < info.nlinks; ++i) {
    char member[256];
    H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, member, sizeof member, H5P_DEFAULT);
    const hid_t id = H5Oopen(group, member, H5P_DEFAULT);
    if (H5Iget_type(id) == H5I_GROUP) {
      read_numbers(id, name + ":" + member, numbers);
    } else if (std::string(member) != "scalars") {
      const hid_t space = H5Dget_space(id);
      std::vector<double> values(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
      H5Sclose(space);
      BOOST_TEST_REQUIRE(H5Dread(id, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0);
      auto& all = numbers[name];
      all.insert(all.end(), values.begin(), values.end());
    }
    H5Oclose(id);
  }
}

std::map<std::string, std::vector<double>> numbers_of(const fs::path& checkpoint) {
  std::map<std::string, std::vector<double>> numbers;
  for (const auto& [name, bytes] : files_of(checkpoint)) {
    const hid_t file = H5Fopen((checkpoint / name).c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
    BOOST_TEST_REQUIRE(file >= 0);
    read_numbers(file, name, numbers);
    H5Fclose(file);
  }
  return numbers;
}

void check_same_numbers(const fs::path& found, const fs::path& expected, double tolerance = 1e-6) {
  const auto a = numbers_of(found), b = numbers_of(expected);
  BOOST_TEST_REQUIRE(a.size() == b.size());
  for (const auto& [name, numbers] : b) {
    BOOST_TEST_REQUIRE(a.contains(name), name);
    BOOST_TEST_REQUIRE(a.at(name).size() == numbers.size(), name);
    double difference = 0, scale = 0;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      difference = std::max(difference, std::fabs(a.at(name)[i] - numbers[i]));
      scale = std::max(scale, std::fabs(numbers[i]));
    }
    BOOST_TEST(difference <= tolerance * scale, name << ": " << difference << " of " << scale);
  }
}

void check_same_json(const nlohmann::json& a, const nlohmann::json& b, double tolerance) {
  if (a.is_object()) {
    BOOST_TEST_REQUIRE(a.size() == b.size());
    for (const auto& [name, value] : a.items()) check_same_json(value, b.at(name), tolerance);
  } else if (a.is_number_float()) {
    BOOST_TEST(a.get<double>() == b.get<double>(), boost::test_tools::tolerance(tolerance));
  } else {
    BOOST_TEST((a == b), a << " and " << b);
  }
}

void check_same_metrics(const fs::path& found, const fs::path& expected, double tolerance = 1e-6) {
  const auto a = metrics(found), b = metrics(expected);
  BOOST_TEST_REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) check_same_json(a[i], b[i], tolerance);
}

void check_all(const Endings& endings, const std::string& expected) {
  for (const auto& ending : endings) BOOST_TEST(ending == expected);
}

bool has_partial(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.path().extension() == ".partial") return true;
  return false;
}

/// `what` happens to one rank at its n-th poll, counted from 0.
template <class What>
Events at_poll(int rank, std::size_t n, What what) {
  Events events;
  events.poll = [=, polls = std::make_shared<std::size_t>(0)](int here) {
    if (here == rank && (*polls)++ == n) what();
  };
  return events;
}
void stop() { throw Stopped(SIGTERM); }

/// Each rank's ending is this, or in a validation tells it behind the update.
void check_mention(const Endings& found, const Endings& expected) {
  BOOST_TEST_REQUIRE(found.size() == expected.size());
  for (std::size_t r = 0; r < found.size(); ++r)
    BOOST_TEST(
        (found[r] == expected[r] || (found[r].starts_with("update ") &&
                                     mentions(found[r], {": validation: " + expected[r] + "; the last"}))),
        found[r]);
}

/// How often a rank polls in a whole run.
template <class Model>
std::size_t polls_of(const RunSetting& setting, const fs::path& run, int ranks, int rank) {
  std::size_t polls = 0;
  Events events;
  events.poll = [&](int here) {
    if (here == rank) ++polls;
  };
  check_all(run_on_ranks<Model>(setting, run, ranks, 2, events), "done");
  return polls;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(trainer_ranks)

BOOST_AUTO_TEST_CASE(checkpoints_and_metrics_are_those_of_one_process) {
  const RunSetting setting(four);
  const auto run = [&](const std::string& name) { return setting.folder.path / name; };
  check_all(run_on_ranks<Fp64Experts>(setting, run("alone"), 0, 2), "done");
  for (const auto& [ranks, micro_batches] : {std::pair{1, 2u}, {2, 2u}, {4, 2u}, {8, 1u}}) {
    const auto here = run(std::to_string(ranks));
    check_all(run_on_ranks<Fp64Experts>(setting, here, ranks, micro_batches), "done");
    check_same_metrics(here, run("alone"));
    for (const char* step : {"checkpoint_2", "checkpoint_4"})
      check_same_numbers(here / step, run("alone") / step);
    for (const char* link : {"checkpoint_last", "checkpoint_best"})
      BOOST_TEST(fs::read_symlink(here / link) == fs::read_symlink(run("alone") / link));
    BOOST_TEST(!has_partial(here));
  }
  // One rank of threads is one process, bit for bit.
  BOOST_TEST((files_of(run("1") / "checkpoint_4") == files_of(run("alone") / "checkpoint_4")));
}

BOOST_AUTO_TEST_CASE(in_single_precision_metrics_are_those_of_one_process) {
  const RunSetting setting(four);
  const auto alone = setting.folder.path / "alone", here = setting.folder.path / "here";
  check_all(run_on_ranks<Experts>(setting, alone, 0, 2), "done");
  check_all(run_on_ranks<Experts>(setting, here, 4, 2), "done");
  check_same_metrics(here, alone, 2e-6);
}

BOOST_AUTO_TEST_CASE(models_without_experts_share_out_the_sequences) {
  const RunSetting setting(four);
  const auto check = [&]<class Model>(const std::string& name, int ranks, std::size_t at_once) {
    const auto alone = setting.folder.path / (name + "-alone"), here = setting.folder.path / name;
    check_all(run_on_ranks<Model>(setting, alone, 0, at_once), "done");
    check_all(run_on_ranks<Model>(setting, here, ranks, 1), "done");
    check_same_metrics(here, alone);
    check_same_numbers(here / "checkpoint_4", alone / "checkpoint_4");
  };
  check.operator()<Fp64Dense>("dense", 2, 1);
  check.operator()<Fp64Dense>("dense in replicas", 8, 2);
  check.operator()<Fp64Tokens>("tokens", 3, 1);
}

BOOST_AUTO_TEST_CASE(a_stop_on_one_rank_stops_all_and_saves_once) {
  const RunSetting setting(four);
  const auto unbroken = setting.folder.path / "unbroken";
  const std::size_t polls = polls_of<Experts>(setting, unbroken, 2, 1);
  BOOST_TEST(polls > 4 * 2 + 2 * 2u);
  const std::size_t validation = (polls - 4 * 2) / 2;
  for (std::size_t n = 0; n < polls; ++n) {
    const auto run = setting.folder.path / concat("stopped_at_", n);
    check_all(run_on_ranks<Experts>(setting, run, 2, 2, at_poll(1, n, stop)), "stopped");
    const std::uint64_t whole =
        n < 4 + validation ? std::min<std::size_t>(n / 2, 2) : std::min<std::size_t>((n - validation) / 2, 4);
    const checkpoint::CheckpointFolder folder(run);
    BOOST_TEST(folder.latest_step().value_or(0) == whole);
    BOOST_TEST(folder.step_of("checkpoint_last").value_or(0) == whole);
    BOOST_TEST(!has_partial(run));
    check_all(run_on_ranks<Experts>(setting, run, 2, 2), "done");
    BOOST_TEST((metrics(run) == metrics(unbroken)));
    BOOST_TEST((files_of(run / "checkpoint_4") == files_of(unbroken / "checkpoint_4")));
  }
}

BOOST_AUTO_TEST_CASE(a_run_goes_on_with_any_number_of_ranks) {
  RunSetting setting(four);
  setting.settings.max_update = 8;
  const auto unbroken = setting.folder.path / "unbroken", run = setting.folder.path / "run";
  check_all(run_on_ranks<Fp64Experts>(setting, unbroken, 0, 2), "done");
  // In the second update, in its validation, in the fifth update, and in the sixth.
  check_all(run_on_ranks<Fp64Experts>(setting, run, 2, 2, at_poll(1, 3, stop)), "stopped");
  BOOST_TEST(*checkpoint::CheckpointFolder(run).latest_step() == 1u);
  check_all(run_on_ranks<Fp64Experts>(setting, run, 0, 2, at_poll(0, 3, stop)), "stopped");
  BOOST_TEST(*checkpoint::CheckpointFolder(run).latest_step() == 2u);
  check_all(run_on_ranks<Fp64Experts>(setting, run, 4, 2, at_poll(3, 11, stop)), "stopped");
  BOOST_TEST(*checkpoint::CheckpointFolder(run).latest_step() == 4u);
  check_all(run_on_ranks<Fp64Experts>(setting, run, 8, 1, at_poll(5, 1, stop)), "stopped");
  BOOST_TEST(*checkpoint::CheckpointFolder(run).latest_step() == 5u);
  check_all(run_on_ranks<Fp64Experts>(setting, run, 1, 2), "done");
  check_same_metrics(run, unbroken);
  for (const char* step : {"checkpoint_2", "checkpoint_8"}) check_same_numbers(run / step, unbroken / step);
}

BOOST_AUTO_TEST_CASE(a_failure_on_one_rank_ends_all) {
  const RunSetting setting(four);
  const std::size_t polls = polls_of<Experts>(setting, setting.folder.path / "whole", 2, 1);
  for (std::size_t n = 0; n < polls; n += 3) {
    const auto endings = run_on_ranks<Experts>(setting, setting.folder.path / concat("failed_at_", n), 2, 2,
                                               at_poll(1, n, [] { throw std::runtime_error("lost"); }));
    check_mention(endings, {"rank 1: lost", "lost"});
  }
}

BOOST_AUTO_TEST_CASE(a_model_that_fails_on_one_rank_ends_all) {
  const RunSetting setting(four);
  for (const char* call : {"accumulate_gradients", "token_losses"}) {
    Events events;
    events.before = [&](int rank, const std::string& what) {
      require(rank != 2 || what != call, "no memory");
    };
    const auto run = setting.folder.path / call;
    const auto endings = run_on_ranks<Experts>(setting, run, 4, 2, events);
    check_mention(endings, {"rank 2: no memory", "rank 2: no memory", "no memory", "rank 2: no memory"});
    BOOST_TEST(!checkpoint::CheckpointFolder(run).latest_step());
  }
}

BOOST_AUTO_TEST_CASE(a_save_that_fails_on_one_rank_leaves_no_trace_and_is_tried_again) {
  const RunSetting setting(four);
  const auto run = setting.folder.path / "run";
  const auto fail_at = [&](const char* partial) {
    Events events;
    events.before = [=](int rank, const std::string& call) {
      require(rank != 1 || call != "weights" || !fs::exists(run / partial), "disk full");
    };
    return events;
  };
  check_all(run_on_ranks<Experts>(setting, run, 2, 2, fail_at(".checkpoint_2.partial")), "done");
  BOOST_TEST(!fs::exists(run / "checkpoint_2"));
  BOOST_TEST(fs::read_symlink(run / "checkpoint_last") == "checkpoint_4");
  BOOST_TEST(!has_partial(run));
  // The last one must succeed.
  fs::remove_all(run);
  const auto endings = run_on_ranks<Experts>(setting, run, 2, 2, fail_at(".checkpoint_4.partial"));
  BOOST_TEST(endings == (Endings{"rank 1: disk full", "disk full"}), boost::test_tools::per_element());
  BOOST_TEST(fs::read_symlink(run / "checkpoint_last") == "checkpoint_2");
  BOOST_TEST(!has_partial(run));
}

BOOST_AUTO_TEST_CASE(what_the_first_rank_finds_in_the_folder_all_ranks_hear) {
  RunSetting setting(four);
  const auto run = setting.folder.path / "run";
  const auto refused = [&](std::initializer_list<std::string> words) {
    for (const auto& ending : run_on_ranks<Experts>(setting, run, 2, setting.settings.update_freq))
      BOOST_TEST(mentions(ending, words), ending);
  };
  fs::create_directories(run);
  {
    const FileLock lock(run / ".lock", run);
    refused({"another process is at work"});
  }
  check_all(run_on_ranks<Experts>(setting, run, 2, 2, at_poll(1, 3, stop)), "stopped");
  setting.settings.update_freq = 1;  // each domain is on one rank, so that an update would be half as large
  refused({"cannot continue", "\"update-freq\":2", "\"update-freq\":1"});
  setting.settings.update_freq = 2;
  // Rank 1 alone reads domain b's text.
  setting.write_text("b", "valid_b", 5);
  refused({"cannot continue", "valid text of domain 'b'"});
  setting.write_text("b", "valid_b", 4);
  const auto expert = run / "checkpoint_1" / "state" / "d.h5";
  const auto bytes = read_bytes(expert);
  write_bytes(expert, bytes.substr(0, bytes.size() / 2));
  refused({"state/d.h5"});
  write_bytes(expert, bytes);
  write_bytes(run / "metrics.jsonl", "[1]\n");
  refused({"metrics.jsonl", "is not the metrics"});
  fs::remove(run / "metrics.jsonl");
  check_all(run_on_ranks<Experts>(setting, run, 2, 2), "done");
}

BOOST_AUTO_TEST_SUITE_END()
