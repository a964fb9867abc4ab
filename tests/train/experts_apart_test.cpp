// Experts trained apart against the same experts trained in one run. In double precision a matrix product is
// a plain loop, in which a row's bits do not depend on how many rows there are, as they may with a library's.

#include "demix/train/experts_apart.hpp"

#include <cmath>

#include "checkpoint/old_state.hpp"
#include "demix/checkpoint/model_source.hpp"
#include "train/rank_runs.hpp"

using namespace demix;
using namespace demix::test;

namespace {

using Names = std::vector<std::string>;
const Names all{"a", "b", "c"};

/// A base of three domains after two updates, and runs of four more that train experts of it.
template <class P>
struct ApartIn : RunSetting {
  using Model = DEMixModel<device::Cpu, P, ops::Relu>;

  ApartIn() : RunSetting(all) {
    BOOST_TEST_REQUIRE(
        this->template train_with<P>(folder.path / "base", settings.adam, [this, polls = 0]() mutable {
          if (polls++ == 4) throw Stopped(SIGTERM);
        }) == false);
    base = folder.path / "base" / "checkpoint_2";
    from_weights();
  }

  void from_weights() { settings.start = {base, false}; }
  void from_state() {
    settings.start = {base, true};
    settings.max_update = 6;
  }
  fs::path place(const std::string& name) const { return folder.path / name; }
  fs::path last(const std::string& name) const { return place(name) / "checkpoint_last"; }

  /// One rank's part of a run of `names`; change(adaptation) may make it another one.
  template <comm::Communicator Comm>
  bool run_rank(const Names& names, const std::string& name, Comm comm, const comm::Placement& placement,
                const std::function<void(train::Adaptation&)>& change,
                const std::function<void()>& poll) const {
    auto s = settings;
    s.save_dir = place(name);
    s.update_freq = settings.update_freq / placement.replicas;
    device::Cpu device(1);
    auto config = small_config();
    config.dropout = 0.1f;
    Model model(device, config, names, placement.held_experts());
    auto text = open(model.text_length(), {});
    for (const DomainId domain : placement.domains) {
      auto of = open(model.text_length(), {names[index(domain)]});
      text.domains.push_back(domain);
      text.train.push_back(std::move(of.train.front()));
      text.valid.push_back(std::move(of.valid.front()));
    }
    auto apart = train::experts_apart(model.weights().master(), names, all);
    change(apart);
    train::Trainable<Model> trainable(model);
    train::Trainer<device::Cpu, P, Comm> trainer(trainable, std::move(comm), placement, text, s, s.adam,
                                                 apart);
    return trainer.run(poll);
  }
  bool run(
      const Names& names, const std::string& name,
      const std::function<void(train::Adaptation&)>& change = [](train::Adaptation&) {},
      const std::function<void()>& poll = [] {}) const {
    return run_rank(names, name, comm::Self(), comm::Placement::whole(names.size()), change, poll);
  }

  /// Whether the expert of a domain, and what the optimizer keeps of it, are the same in two runs.
  bool same_expert(const std::string& domain, const std::string& one, const std::string& other) const {
    return same_file("experts/" + domain + ".h5", one, other) &&
           same_file("state/" + domain + ".h5", one, other);
  }
  bool same_file(const std::string& file, const std::string& one, const std::string& other) const {
    return read_bytes(last(one) / file) == read_bytes(last(other) / file);
  }

  fs::path base;
};

/// A region of a checkpoint, in single precision.
std::vector<float> values(const fs::path& path, RegionId region) {
  device::Cpu device(1);
  const auto model = checkpoint::ModelSource(path).load<Experts>(device);
  const auto numbers = model.weights().master().region(region);
  return {numbers.begin(), numbers.end()};
}

bool same_shared(const fs::path& a, const fs::path& b) {
  return values(a, RegionId::shared()) == values(b, RegionId::shared());
}

using Apart = ApartIn<Fp64>;
using ApartInSingle = ApartIn<Fp32>;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(experts_apart, Apart)

BOOST_AUTO_TEST_CASE(it_trains_what_is_held_and_numbers_domains_as_the_start_does) {
  device::Cpu device(1);
  const Experts model(device, small_config(), {"c", "a"}, HeldExperts(2, {ExpertId{1}}));
  const auto apart = train::experts_apart(model.weights().master(), {"c", "a"}, all);
  const std::vector<optim::ParameterSpan> trained{{ExpertId{1}, 0, model.layout().expert.size()}};
  BOOST_TEST((apart.trained == trained));
  BOOST_TEST(apart.experts_apart);
  BOOST_TEST(apart.numbers == (std::vector<std::size_t>{2, 0}), boost::test_tools::per_element());
  const auto of_another = [&] { train::experts_apart(model.weights().master(), {"c", "d"}, all); };
  BOOST_TEST(error_of(of_another) == "experts apart: the model at the start has no domain 'd'");
}

// With and without clipping, which is by expert, and dropout; of the weights alone, and of the moments too.
BOOST_AUTO_TEST_CASE(apart_and_together_they_are_the_same_bit_for_bit) {
  for (const bool continues : {false, true})
    for (const double clip_norm : {0.0, 0.01}) {
      const auto name = [&](const std::string& names) { return concat(names, continues, clip_norm > 0); };
      if (continues) from_state();
      settings.clip_norm = clip_norm;
      BOOST_TEST(run(all, name("abc")));
      BOOST_TEST(run({"a"}, name("a")));
      BOOST_TEST(run({"b", "c"}, name("bc")));
      BOOST_TEST(run({"c"}, name("c")));
      BOOST_TEST(same_expert("a", name("a"), name("abc")));
      BOOST_TEST(same_expert("b", name("bc"), name("abc")));
      BOOST_TEST(same_expert("c", name("bc"), name("abc")));
      BOOST_TEST(same_expert("c", name("c"), name("abc")));
    }
  BOOST_TEST(!same_expert("c", "c01", "c00"));  // clipping did something
  BOOST_TEST(!same_expert("c", "c01", "c11"));  // and so did the moments
}

BOOST_FIXTURE_TEST_CASE(in_single_precision_they_differ_by_rounding_at_most, ApartInSingle) {
  BOOST_TEST(run(all, "abc"));
  for (int d = 0; d < 3; ++d) {
    const auto& name = all[static_cast<std::size_t>(d)];
    BOOST_TEST(run({name}, name));
    const auto apart = values(last(name), ExpertId{0}), together = values(last("abc"), ExpertId{d}),
               before = values(base, ExpertId{d});
    // Sums of squares: Adam makes whole steps along the few gradients that are rounding errors.
    double difference = 0, step = 0;
    for (std::size_t i = 0; i < apart.size(); ++i) {
      difference += std::pow(static_cast<double>(apart[i]) - together[i], 2);
      step += std::pow(static_cast<double>(together[i]) - before[i], 2);
    }
    BOOST_TEST(step > 1e-4 * static_cast<double>(apart.size()));
    BOOST_TEST(std::sqrt(difference) < 1e-4 * std::sqrt(step));
  }
}

BOOST_AUTO_TEST_CASE(every_part_of_it_matters) {
  BOOST_TEST(run(all, "abc"));
  BOOST_TEST(run({"b"}, "numbered anew", [](auto& apart) { apart.numbers = {}; }));
  BOOST_TEST(!same_expert("b", "numbered anew", "abc"));
  BOOST_TEST(run(all, "one loss", [](auto& apart) { apart.experts_apart = false; }));
  BOOST_TEST(!same_expert("b", "one loss", "abc"));
  BOOST_TEST(mentions(error_of([&] { run({"b"}, "x", [](auto& apart) {
                                       apart.numbers = {0, 1};
                                     }); }),
                      {"2 numbers of domains in a run of 1"}));
}

BOOST_AUTO_TEST_CASE(what_is_shared_keeps_its_bits_and_has_no_state) {
  from_state();
  BOOST_TEST(run({"b"}, "b"));
  BOOST_TEST(same_shared(last("b"), base));
  BOOST_TEST(read_bytes(last("b") / "experts" / "b.h5") != read_bytes(base / "experts" / "b.h5"));
  const auto state = checkpoint::hdf5::open_file(last("b") / "state.h5");
  for (const char* slot : {"adam_m", "adam_v"})
    BOOST_TEST(
        checkpoint::hdf5::members(checkpoint::hdf5::open_group(state, slot)) == std::vector<std::string>{},
        boost::test_tools::per_element());
  BOOST_TEST(!fs::exists(last("b") / "state" / "a.h5"));
  BOOST_TEST(checkpoint::read_metadata(last("b")).domains == std::vector<std::string>{"b"},
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(stopped_at_any_poll_it_goes_on_bit_for_bit) {
  BOOST_TEST(run({"c", "a"}, "whole"));
  for (const int stop : {1, 3, 6}) {
    const auto name = concat("stopped", stop);
    BOOST_TEST(!run(
        {"c", "a"}, name, [](auto&) {},
        [polls = 0, stop]() mutable {
          if (polls++ == stop) throw Stopped(SIGTERM);
        }));
    BOOST_TEST(run({"c", "a"}, name));
    BOOST_TEST((files_of(last(name)) == files_of(last("whole"))));
  }
}

BOOST_AUTO_TEST_CASE(another_run_is_not_gone_on_with) {
  BOOST_TEST(run({"b"}, "b"));
  BOOST_TEST(mentions(error_of([&] { run({"c"}, "b"); }), {"list of domains", "[\"b\"]", "[\"c\"]"}));
  BOOST_TEST(mentions(error_of([&] { run({"b"}, "b", [](auto& apart) { apart.facts = nullptr; }); }),
                      {"training settings", "domains_at_start"}));
  BOOST_TEST(mentions(error_of([&] { run(all, "base"); }), {"training settings", "domains_at_start"}));
}

BOOST_FIXTURE_TEST_CASE(the_state_at_the_start_may_be_an_older_demixs, ApartInSingle) {
  from_state();
  BOOST_TEST(run({"c"}, "c"));
  device::Cpu device(1);
  Experts model(device, small_config(), all);
  auto m = model.make_gradients(), v = model.make_gradients();
  auto state = state_of(model, m, v);
  const checkpoint::SavedState saved{checkpoint::Checkpoint(base)};
  saved.load(device, state);
  state.scalars = saved.scalars();
  write_old_state(base, "trained", 2, all, state);
  BOOST_TEST(run({"c"}, "of old"));
  BOOST_TEST(same_expert("c", "of old", "c"));
}

// The shared parameters of a run of experts have no moments to go on with.
BOOST_AUTO_TEST_CASE(a_whole_run_does_not_go_on_where_experts_were_alone) {
  BOOST_TEST(run(all, "abc"));
  settings.start = {last("abc"), true};
  settings.max_update = 8;
  BOOST_TEST(mentions(error_of([&] { train_with<Fp64>(place("x"), settings.adam, [] {}); }),
                      {"state.h5", "adam_m"}));
  settings.start->continues = false;
  BOOST_TEST(train_with<Fp64>(place("y"), settings.adam, [] {}));
}

BOOST_AUTO_TEST_CASE(on_ranks_they_are_those_of_one_process) {
  BOOST_TEST(run(all, "abc"));
  for (const int ranks : {2, 3, 6}) {
    const auto name = concat("ranks", ranks);
    ThreadComm::run(ranks, [&](ThreadComm comm) {
      const auto placement = comm::Placement::by_domain(comm.rank(), ranks, all.size());
      run_rank(
          all, name, std::move(comm), placement, [](auto&) {}, [] {});
    });
    BOOST_TEST(same_shared(last(name), base));
    // Two ranks for an expert add its gradient in another order.
    if (ranks <= 3)
      for (const auto& domain : all) BOOST_TEST(same_expert(domain, name, "abc"));
  }
}

BOOST_AUTO_TEST_SUITE_END()
