#include "demix/checkpoint/training_state.hpp"

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"
#include "checkpoint/old_state.hpp"
#include "comm/threads.hpp"
#include "demix/optim/adam.hpp"

namespace demix::test {
namespace {

using checkpoint::Checkpoint, checkpoint::SavedState;
using comm::Placement;
using testing::ThreadComm;
using State = checkpoint::TrainingState<float>;
const std::vector<std::string> domains{"a", "b", "c"};

/// A model with some of the experts, and moments; which value stands where depends on the region alone.
struct Trainee {
  device::Cpu device{1};
  Experts model;
  Experts::Gradients m, v;

  explicit Trainee(std::vector<ExpertId> held, std::uint64_t seed = 0)
      : model(device, small_config(), domains, HeldExperts(domains.size(), std::move(held))),
        m(model.make_gradients()),
        v(model.make_gradients()) {
    if (seed == 0) return;
    fill(model.weights().master(), seed);
    fill(m, seed + 1);
    fill(v, seed + 2);
  }
  void fill(auto& arena, std::uint64_t seed) {
    for (const RegionId r : arena.regions()) {
      const auto stream = r.is_shared() ? 99u : static_cast<std::uint32_t>(index(r.expert()));
      std::uint32_t i = 0;
      for (const auto& info : r.layout(model.layout()).parameters())
        for (float& x : arena.region(r).subspan(info.offset, info.size()))
          x = uniform_unit(philox(Seed{seed}, i++, stream, 0, 0).word[0]);
    }
  }
  State state(std::string scalars = "{}") { return state_of(model, m, v, std::move(scalars)); }
};

/// How many numbers of the regions that `part` holds are others in `whole`.
std::size_t differing(const ParameterLayout& layout, const auto& part, const auto& whole) {
  std::size_t count = 0;
  for (const RegionId r : part.regions())
    for (const auto& info : r.layout(layout).parameters())
      for (std::size_t i = info.offset; i < info.offset + info.size(); ++i)
        count += part.region(r)[i] != whole.region(r)[i];
  return count;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

const std::vector<ExpertId> all{ExpertId{0}, ExpertId{1}, ExpertId{2}};

struct Saved {
  TemporaryFolder folder;
  fs::path path = folder.path / "x";
  Trainee trainee{all, 1};

  Saved() {
    const auto state = trainee.state("scalars");
    checkpoint::save(path, metadata_of(trainee.model, "demix"), trainee.model, &state);
  }
  /// A trainee with these experts, loaded.
  std::size_t differences(std::vector<ExpertId> held) {
    Trainee part(std::move(held));
    const Checkpoint from(path);
    checkpoint::load_values(from, part.model);
    auto state = part.state();
    const SavedState saved(from);
    saved.load(part.device, state);
    BOOST_TEST(saved.scalars() == "scalars");
    const auto& layout = part.model.layout();
    return differing(layout, part.model.weights().master(), trainee.model.weights().master()) +
           differing(layout, part.m, trainee.m) + differing(layout, part.v, trainee.v);
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(training_state, Saved)

BOOST_AUTO_TEST_CASE(each_expert_has_a_file_that_says_whose_it_is) {
  BOOST_TEST(names_in(path) == (std::vector<std::string>{"experts", "model.h5", "state", "state.h5"}),
             boost::test_tools::per_element());
  BOOST_TEST(names_in(path / "state") == (std::vector<std::string>{"a.h5", "b.h5", "c.h5"}),
             boost::test_tools::per_element());
  const auto file = checkpoint::hdf5::open_file(path / "state" / "b.h5");
  BOOST_TEST(checkpoint::hdf5::read_attribute<std::string>(file, "domain") == "b");
  BOOST_TEST(checkpoint::hdf5::read_attribute<std::uint64_t>(file, "step") == 3u);
  const auto values = trainee.v.region(ExpertId{1});
  std::vector<float> found(values.size());
  const auto& first = trainee.model.layout().expert.parameters().front();
  checkpoint::hdf5::read_rows(trainee.device, checkpoint::hdf5::open_group(file, "adam_v"), first, 0,
                              found.data(), checkpoint::hdf5::NumberType::as_it_is);
  BOOST_TEST(
      std::equal(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(first.size()), values.begin()));
}

BOOST_AUTO_TEST_CASE(a_rank_reads_what_it_holds_and_nothing_else) {
  BOOST_TEST(differences(all) == 0u);
  write_bytes(path / "experts" / "b.h5", "damaged");
  write_bytes(path / "state" / "b.h5", "damaged");
  BOOST_TEST(differences({ExpertId{0}, ExpertId{2}}) == 0u);
  fs::remove(path / "state" / "b.h5");
  BOOST_TEST(differences({ExpertId{2}}) == 0u);
  BOOST_TEST(differences({}) == 0u);
  BOOST_TEST(mentions(error_of([&] { differences({ExpertId{1}}); }), {"experts/b.h5"}));
}

BOOST_AUTO_TEST_CASE(states_of_before_are_read_from_the_one_file) {
  for (const char* parts : {"", "trained"}) {
    write_old_state(path, parts, 3, domains, trainee.state("scalars"));
    BOOST_TEST(differences(all) == 0u);
    BOOST_TEST(differences({ExpertId{1}}) == 0u);
    tamper(path / "state.h5", [](hid_t file) { H5Ldelete(file, "adam_m/experts/b", H5P_DEFAULT); });
    BOOST_TEST(differences({ExpertId{0}, ExpertId{2}}) == 0u);
    BOOST_TEST(mentions(error_of([&] { differences({ExpertId{1}}); }), {"state.h5", "adam_m", "'b'"}));
    write_old_state(path, parts, 4, domains, trainee.state("scalars"));
    BOOST_TEST(mentions(error_of([&] { differences(all); }), {"state.h5", "step 4", "step 3"}));
  }
}

// One that had a state for every parameter serves a run that trains some rows of some of them.
BOOST_AUTO_TEST_CASE(the_oldest_states_may_have_more_than_is_trained) {
  const auto& parameters = trainee.model.layout().shared.parameters();
  const auto table = std::find_if(parameters.begin(), parameters.end(),
                                  [](const auto& p) { return p.name == "decoder.embed_tokens.weight"; });
  const std::size_t rows = 4 * table->cols, first = table->offset + 2 * table->cols;
  const std::vector<optim::ParameterSpan> spans{{RegionId::shared(), first, rows},
                                                {ExpertId{1}, 0, trainee.model.layout().expert.size()}};
  optim::OptimizerState<device::Cpu, Fp32, optim::Adam> optimizer(trainee.device, {}, spans);
  auto state = checkpoint::state_of(trainee.model.layout(), optimizer);
  write_old_state(path, "", 3, domains, trainee.state());
  SavedState(Checkpoint(path)).load(trainee.device, state);
  for (const std::size_t s : {0u, 1u}) {
    const auto& from = s == 0 ? trainee.m : trainee.v;
    BOOST_TEST(std::equal(optimizer.slot(s, 0).begin(), optimizer.slot(s, 0).end(),
                          from.region(RegionId::shared()).begin() + static_cast<std::ptrdiff_t>(first)));
    for (const auto& info : trainee.model.layout().expert.parameters()) {
      const auto found = optimizer.slot(s, 1).subspan(info.offset, info.size());
      const auto expected = from.region(ExpertId{1}).subspan(info.offset, info.size());
      BOOST_TEST(std::equal(found.begin(), found.end(), expected.begin()));
    }
  }
  write_old_state(path, "trained", 3, domains, trainee.state());
  BOOST_TEST(mentions(error_of([&] { SavedState(Checkpoint(path)).load(trainee.device, state); }),
                      {"state.h5", "unknown 'decoder."}));
}

BOOST_AUTO_TEST_CASE(rows_and_a_single_expert_come_back) {
  const auto& layout = trainee.model.layout();
  const std::size_t cols = layout.shared.parameters().front().cols,
                    first = layout.shared.parameters().front().offset;
  const std::vector<optim::ParameterSpan> spans{{RegionId::shared(), first + cols, 2 * cols},
                                                {ExpertId{2}, 0, layout.expert.size()}};
  using Optimizer = optim::OptimizerState<device::Cpu, Fp32, optim::Adam>;
  Optimizer saved(trainee.device, {}, spans), loaded(trainee.device, {}, spans);
  for (std::size_t s : {0u, 1u})
    for (std::size_t i : {0u, 1u})
      std::fill(saved.slot(s, i).begin(), saved.slot(s, i).end(), static_cast<float>(1 + 2 * s + i));
  const auto state = checkpoint::state_of(layout, saved);
  const auto other = folder.path / "some";
  checkpoint::save(other, metadata_of(trainee.model, "demix"), trainee.model, &state);
  BOOST_TEST(names_in(other / "state") == (std::vector<std::string>{"c.h5"}),
             boost::test_tools::per_element());
  auto back = checkpoint::state_of(layout, loaded);
  SavedState(Checkpoint(other)).load(trainee.device, back);
  for (std::size_t s : {0u, 1u}) {
    BOOST_TEST(loaded.slot(s, 0)[0] == static_cast<float>(1 + 2 * s));
    BOOST_TEST(loaded.slot(s, 0)[2 * cols - 1] == static_cast<float>(1 + 2 * s));
    for (const auto& info : layout.expert.parameters())
      for (const float x : loaded.slot(s, 1).subspan(info.offset, info.size()))
        BOOST_REQUIRE(x == static_cast<float>(2 + 2 * s));
  }
}

// A model of some of the domains, in an order of its own, that trains its experts alone.
BOOST_AUTO_TEST_CASE(experts_are_found_by_the_names_of_a_models_domains) {
  const std::vector<std::string> some{"c", "a"};
  Experts model(trainee.device, small_config(), some);
  optim::OptimizerState<device::Cpu, Fp32, optim::Adam> optimizer(
      trainee.device, {}, optim::expert_regions(model.weights().master()));
  const auto check = [&] {
    auto state = checkpoint::state_of(model.layout(), optimizer);
    SavedState(Checkpoint(path)).load(trainee.device, state, some);
    for (const std::size_t i : {0u, 1u})
      for (const std::size_t s : {0u, 1u}) {
        const auto found = optimizer.slot(s, i);
        const auto expected = (s == 0 ? trainee.m : trainee.v).region(ExpertId{i == 0 ? 2 : 0});
        for (const auto& info : model.layout().expert.parameters())
          BOOST_TEST(std::ranges::equal(found.subspan(info.offset, info.size()),
                                        expected.subspan(info.offset, info.size())));
        std::ranges::fill(found, -1.0f);
      }
  };
  check();
  for (const char* parts : {"", "trained"}) {
    write_old_state(path, parts, 3, domains, trainee.state());
    check();
  }
}

BOOST_AUTO_TEST_CASE(ranks_write_the_bytes_that_one_process_writes) {
  for (const int ranks : {2, 3, 6}) {
    const auto here = folder.path / concat("ranks", ranks);
    ThreadComm::run(ranks, [&](ThreadComm comm) {
      const auto placement = Placement::by_domain(comm.rank(), ranks, domains.size());
      Trainee part(placement.held_experts().list(), 1);
      comm::Agreement together(part.device, comm);
      const auto state = part.state("scalars");
      checkpoint::save(here, metadata_of(part.model, "demix"), part.model, &state, together, placement);
    });
    for (const char* file : {"model.h5", "state.h5", "experts/a.h5", "experts/b.h5", "experts/c.h5",
                             "state/a.h5", "state/b.h5", "state/c.h5"})
      BOOST_TEST((read_bytes(here / file) == read_bytes(path / file)), ranks << " ranks: " << file);
    BOOST_TEST(names_in(folder.path).front() != concat(".ranks", ranks, ".partial"));
  }
}

BOOST_AUTO_TEST_CASE(ranks_that_cannot_save_all_throw_and_leave_no_trace) {
  const auto before = names_in(folder.path);
  const auto errors = [&](const fs::path& to, int broken) {
    std::vector<std::string> result(2);
    ThreadComm::run(2, [&](ThreadComm comm) {
      const int rank = comm.rank();
      const auto placement = Placement::by_domain(rank, 2, domains.size());
      Trainee part(placement.held_experts().list(), 1);
      comm::Agreement together(part.device, comm);
      auto metadata = metadata_of(part.model, "demix");
      if (rank == broken) metadata.domains.pop_back();
      result[static_cast<std::size_t>(rank)] = error_of(
          [&] { checkpoint::save<Experts>(to, metadata, part.model, nullptr, together, placement); });
    });
    return result;
  };
  for (const int broken : {0, 1}) {
    for (const auto& error : errors(folder.path / "new", broken))
      BOOST_TEST(mentions(error, {"the metadata are not the model's"}));
    BOOST_TEST(names_in(folder.path) == before, boost::test_tools::per_element());
  }
  for (const auto& error : errors(path, -1)) BOOST_TEST(mentions(error, {"exists already"}));
  for (const auto& error : errors(path / "new", -1)) BOOST_TEST(mentions(error, {"lies in the checkpoint"}));
  BOOST_TEST(names_in(folder.path) == before, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(every_expert_must_have_one_rank_that_writes_it) {
  const auto before = names_in(folder.path);
  Trainee part({ExpertId{0}, ExpertId{2}});
  BOOST_TEST(mentions(error_of([&] { save_without_state(folder.path / "new", "demix", part.model); }),
                      {"the expert of domain 'b' would be written by 0 ranks"}));
  ThreadComm::run(2, [&](ThreadComm comm) {
    // Each rank takes itself for the only one of its experts.
    const auto placement = Placement::by_domain(comm.rank(), 2, domains.size());
    Trainee whole(all);
    comm::Agreement together(whole.device, comm);
    const auto error = error_of([&] {
      checkpoint::save<Experts>(folder.path / "new", metadata_of(whole.model, "demix"), whole.model, nullptr,
                                together, placement);
    });
    require(mentions(error, {"the expert of domain 'a' would be written by 2 ranks"}), error);
  });
  BOOST_TEST(names_in(folder.path) == before, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(new_scalars_change_state_h5_alone) {
  const auto expert = read_bytes(path / "state" / "a.h5"), before = read_bytes(path / "state.h5");
  const auto expert_written = fs::last_write_time(path / "state" / "a.h5");
  comm::Self self;
  comm::Agreement alone(trainee.device, self);
  const auto replace = [&](const std::string& scalars) {
    checkpoint::replace_scalars(trainee.device, path, metadata_of(trainee.model, "demix"),
                                trainee.state(scalars), alone, Placement::whole(domains.size()));
  };
  replace("others");
  BOOST_TEST(SavedState(Checkpoint(path)).scalars() == "others");
  BOOST_TEST((fs::last_write_time(path / "state" / "a.h5") == expert_written));
  replace("scalars");
  BOOST_TEST((read_bytes(path / "state.h5") == before));
  BOOST_TEST(differences(all) == 0u);
  fs::create_directory(path / ".state.h5.partial");  // what is left there goes
  replace("scalars");
  BOOST_TEST(names_in(path) == (std::vector<std::string>{"experts", "model.h5", "state", "state.h5"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(new_scalars_divide_a_state_of_before) {
  const auto shared = read_bytes(path / "state.h5"), expert = read_bytes(path / "state" / "c.h5");
  for (const int ranks : {1, 2}) {
    write_old_state(path, "trained", 3, domains, trainee.state("scalars"));
    write_bytes(path / ".state.partial", "in the way");
    ThreadComm::run(ranks, [&](ThreadComm comm) {
      const auto placement = Placement::by_domain(comm.rank(), ranks, domains.size());
      Trainee part(placement.held_experts().list(), 1);
      comm::Agreement together(part.device, comm);
      checkpoint::replace_scalars(part.device, path, metadata_of(part.model, "demix"), part.state("scalars"),
                                  together, placement);
    });
    BOOST_TEST(names_in(path) == (std::vector<std::string>{"experts", "model.h5", "state", "state.h5"}),
               boost::test_tools::per_element());
    BOOST_TEST((read_bytes(path / "state.h5") == shared));
    BOOST_TEST((read_bytes(path / "state" / "c.h5") == expert));
    BOOST_TEST(differences(all) == 0u);
  }
  // Killed between the two renames: state.h5 is the old one still, and counts.
  write_old_state(path, "trained", 3, domains, trainee.state("scalars"));
  fs::create_directory(path / "state");
  for (const auto& domain : domains) write_bytes(path / "state" / (domain + ".h5"), "of an older attempt");
  BOOST_TEST(differences(all) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
