#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"

namespace demix::test {
namespace {

/// Saves a model of random bits with its state, loads both into a model that starts otherwise, compares.
template <class Model>
void check_round_trip(const std::string& experiment, const ModelConfig& config,
                      const std::vector<std::string>& domains) {
  const TemporaryFolder folder;
  device::Cpu device;
  Model saved(device, config, domains, Seed{1}), loaded(device, config, domains, Seed{2});
  auto m = saved.make_gradients(), v = saved.make_gradients(), m2 = saved.make_gradients(),
       v2 = saved.make_gradients();
  fill_random_bits(saved, saved.weights().master(), 1);
  fill_random_bits(saved, m, 2);
  fill_random_bits(saved, v, 3);
  const auto path = folder.path / "checkpoint_3";
  const std::string scalars = R"({"tokens": 123456789012345, "note": "ü"})";
  const auto state = state_of(saved, m, v, scalars);
  const auto metadata = metadata_of(saved, experiment);

  checkpoint::save(path, metadata, saved, &state);
  const auto found = checkpoint::read_metadata(path);
  BOOST_TEST(found.experiment == experiment);
  BOOST_TEST(found.config.describe() == metadata.config.describe());
  BOOST_TEST(found.config.dropout == metadata.config.dropout);
  BOOST_TEST(found.domains == domains, boost::test_tools::per_element());
  BOOST_TEST(found.vocabulary_fingerprint == "fingerprint-1");
  BOOST_TEST(found.step == 3u);

  BOOST_TEST(differing_values(saved, saved.weights().master(), loaded.weights().master()) > 0u);
  checkpoint::load_values(path, loaded);
  BOOST_TEST(differing_values(saved, saved.weights().master(), loaded.weights().master()) == 0u);

  auto loaded_state = state_of(saved, m2, v2);
  const checkpoint::SavedState saved_state{checkpoint::Checkpoint(path)};
  saved_state.load(device, loaded_state);
  BOOST_TEST(saved_state.scalars() == scalars);
  BOOST_TEST(differing_values(saved, m, m2) == 0u);
  BOOST_TEST(differing_values(saved, v, v2) == 0u);
  BOOST_TEST(!fs::exists(folder.path / ".checkpoint_3.partial"));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(round_trip)

BOOST_AUTO_TEST_CASE(dense_tied_and_untied) {
  auto config = small_config();
  for (const bool tied : {false, true})
    for (const auto positions : {Positions::sinusoidal, Positions::learned, Positions::none}) {
      config.tied_embeddings = tied;
      config.positions = positions;
      config.dropout = tied ? 0.0f : 0.1f;
      check_round_trip<Dense>("dense", config, {"legal", "med"});
    }
}

BOOST_AUTO_TEST_CASE(domain_tokens_do_not_count_as_dictionary) {
  check_round_trip<DomainTokens>("domain_token", small_config(), {"legal", "med", "cs"});
}

BOOST_AUTO_TEST_CASE(three_experts_with_names_that_need_care) {
  check_round_trip<Experts>("demix", small_config(), {"med", "1b", "C++_code-v1.2"});
}

// Parameters of several chunks, with an uneven last one, and rows longer than a chunk.
BOOST_AUTO_TEST_CASE(parameters_larger_than_a_chunk) {
  auto config = small_config();
  config.layers = 1;
  config.vocabulary = 100003;
  config.d_ffn = 300007;
  check_round_trip<Experts>("demix", config, {"a"});
}

// More names in one file than HDF5 keeps in a group's header by default.
BOOST_AUTO_TEST_CASE(as_many_layers_as_the_largest_preset) {
  auto config = small_config();
  config.layers = 96;
  check_round_trip<Dense>("dense", config, {"a"});
  check_round_trip<Experts>("demix", config, {"a"});
}

BOOST_AUTO_TEST_CASE(without_state_it_loads_but_does_not_resume) {
  const TemporaryFolder folder;
  device::Cpu device;
  Dense model(device, small_config(), {"a"}, Seed{1}), loaded(device, small_config(), {"a"}, Seed{2});
  save_without_state(folder.path / "x", "dense", model);
  checkpoint::load_values(folder.path / "x", loaded);
  BOOST_TEST(differing_values(model, model.weights().master(), loaded.weights().master()) == 0u);
  BOOST_TEST(mentions(error_of([&] { checkpoint::SavedState{checkpoint::Checkpoint(folder.path / "x")}; }),
                      {"cannot resume", "state.h5"}));
}

BOOST_AUTO_TEST_CASE(experts_are_found_by_name) {
  const TemporaryFolder folder;
  device::Cpu device;
  Experts saved(device, small_config(), {"a", "b", "c"}, Seed{1});
  fill_random_bits(saved, saved.weights().master(), 5);
  save_without_state(folder.path / "x", "demix", saved);
  Experts subset(device, small_config(), {"c", "a"}, Seed{2});
  checkpoint::load_values(folder.path / "x", subset);
  for (const auto& info : saved.layout().expert.parameters()) {
    const auto part = [&](Experts& model, RegionId region) {
      return model.weights().master().region(region).data() + info.offset;
    };
    BOOST_TEST(
        std::memcmp(part(subset, ExpertId{0}), part(saved, ExpertId{2}), info.size() * sizeof(float)) == 0);
    BOOST_TEST(
        std::memcmp(part(subset, ExpertId{1}), part(saved, ExpertId{0}), info.size() * sizeof(float)) == 0);
  }
}

BOOST_AUTO_TEST_CASE(double_precision_reads_and_rounds) {
  using Fp64Model = DenseModel<device::Cpu, Fp64, ops::Relu>;
  const TemporaryFolder folder;
  device::Cpu device;
  Fp64Model model(device, small_config(), {"a"}, Seed{1}), loaded(device, small_config(), {"a"}, Seed{2});
  for (double& value : model.weights().master().region(RegionId::shared())) value += 1e-12;
  save_without_state(folder.path / "x", "dense", model);
  checkpoint::load_values(folder.path / "x", loaded);
  std::size_t wrong = 0;
  for_each_parameter(model, model.weights().master(),
                     [&](const ParameterInfo& info, std::span<double> values) {
                       for (std::size_t i = 0; i < values.size(); ++i)
                         wrong += loaded.weights().master().region(RegionId::shared())[info.offset + i] !=
                                  double(float(values[i]));
                     });
  BOOST_TEST(wrong == 0u);
}

BOOST_AUTO_TEST_CASE(the_same_model_gives_the_same_bytes) {
  const TemporaryFolder folder;
  device::Cpu device;
  Experts model(device, small_config(), {"a", "b"}, Seed{1});
  auto m = model.make_gradients(), v = model.make_gradients();
  const auto state = state_of(model, m, v);
  checkpoint::save(folder.path / "x", metadata_of(model, "demix"), model, &state);
  checkpoint::save(folder.path / "y", metadata_of(model, "demix"), model, &state);
  for (const char* file :
       {"model.h5", "state.h5", "state/a.h5", "state/b.h5", "experts/a.h5", "experts/b.h5"})
    BOOST_TEST((read_bytes(folder.path / "x" / file) == read_bytes(folder.path / "y" / file)));
}

BOOST_AUTO_TEST_CASE(never_replaces_anything) {
  const TemporaryFolder folder;
  device::Cpu device;
  Dense model(device, small_config(), {"a"}, Seed{1});
  save_without_state(folder.path / "x", "dense", model);
  const auto before = read_bytes(folder.path / "x" / "model.h5");
  model.weights().master().region(RegionId::shared())[0] += 1;
  BOOST_TEST(mentions(error_of([&] { save_without_state(folder.path / "x", "dense", model); }), {"exists"}));
  BOOST_TEST(mentions(error_of([&] { save_without_state(folder.path / "x/", "dense", model); }), {"exists"}));
  BOOST_TEST((read_bytes(folder.path / "x" / "model.h5") == before));
  write_bytes(folder.path / "file", "");
  BOOST_TEST(
      mentions(error_of([&] { save_without_state(folder.path / "file", "dense", model); }), {"exists"}));
  fs::create_symlink("nowhere", folder.path / "link");
  BOOST_TEST(
      mentions(error_of([&] { save_without_state(folder.path / "link", "dense", model); }), {"exists"}));
}

BOOST_AUTO_TEST_CASE(a_stale_partial_one_is_replaced) {
  const TemporaryFolder folder;
  device::Cpu device;
  Dense model(device, small_config(), {"a"}, Seed{1});
  fs::create_directories(folder.path / ".x.partial" / "experts");
  write_bytes(folder.path / ".x.partial" / "model.h5", "half a file");
  save_without_state(folder.path / "x/", "dense", model);
  checkpoint::load_values(folder.path / "x", model);
  BOOST_TEST(!fs::exists(folder.path / ".x.partial"));
  BOOST_TEST(!fs::exists(folder.path / "x" / "experts"));
}

BOOST_AUTO_TEST_CASE(a_relative_path_without_a_folder_works) {
  const TemporaryFolder folder;
  const auto before = fs::current_path();
  fs::current_path(folder.path);
  device::Cpu device;
  Dense model(device, small_config(), {"a"}, Seed{1});
  save_without_state("x", "dense", model);
  checkpoint::load_values("x", model);
  fs::current_path(before);
  BOOST_TEST(fs::exists(folder.path / "x" / "model.h5"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace demix::test
