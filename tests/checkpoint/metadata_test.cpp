#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"

namespace demix::test {
BOOST_AUTO_TEST_SUITE(metadata)

BOOST_AUTO_TEST_CASE(the_version_is_the_projects) {
  BOOST_TEST(std::string(checkpoint::demix_version) == DEMIX_PROJECT_VERSION);
}

BOOST_AUTO_TEST_CASE(save_writes_nothing_for_a_bad_or_double_name) {
  const TemporaryFolder folder;
  device::Cpu device;
  // The model refuses them already.
  const auto message = [&](const std::vector<std::string>& domains) {
    return error_of([&] {
      Experts model(device, small_config(), domains, Seed{1});
      save_without_state(folder.path / "x", "demix", model);
    });
  };
  BOOST_TEST(mentions(message({"a", "../up"}), {"'../up'"}));
  BOOST_TEST(mentions(message({"a", "a"}), {"twice"}));
  BOOST_TEST(fs::is_empty(folder.path));
}

BOOST_AUTO_TEST_CASE(save_wants_the_metadata_of_the_model) {
  const TemporaryFolder folder;
  device::Cpu device;
  DomainTokens model(device, small_config(), {"a", "b"}, Seed{1});
  auto metadata = metadata_of(model, "domain_token");
  metadata.config = model.config();  // its vocabulary counts the domain tokens
  BOOST_TEST(
      mentions(error_of([&] { checkpoint::save<DomainTokens>(folder.path / "x", metadata, model, nullptr); }),
               {"vocabulary=13", "vocabulary=11"}));
  metadata = metadata_of(model, "domain_token");
  metadata.domains = {"b", "a"};
  BOOST_TEST(error_of([&] { checkpoint::save<DomainTokens>(folder.path / "x", metadata, model, nullptr); }) !=
             "no error");
  BOOST_TEST(fs::is_empty(folder.path));
}

// What a model of another architecture or type says to a checkpoint of small_config().
BOOST_AUTO_TEST_CASE(other_models_are_refused) {
  const TemporaryFolder folder;
  device::Cpu device;
  const auto dense_path = folder.path / "dense", demix_path = folder.path / "demix",
             token_path = folder.path / "token";
  const auto config = small_config();
  Dense dense(device, config, {"a", "b"}, Seed{1});
  Experts demix(device, config, {"a", "b"}, Seed{1});
  DomainTokens token(device, config, {"a", "b"}, Seed{1});
  save_without_state(dense_path, "dense", dense);
  save_without_state(demix_path, "demix", demix);
  save_without_state(token_path, "domain_token", token);

  const auto refusal = [&](auto change) {
    auto other = config;
    change(other);
    Dense model(device, other, {"a"}, Seed{1});
    return error_of([&] { checkpoint::load_values(dense_path, model); });
  };
  BOOST_TEST(refusal([](ModelConfig&) {}) == "no error");
  BOOST_TEST(refusal([](ModelConfig& c) { c.dropout = 0.5f; }) == "no error");
  BOOST_TEST(refusal([](ModelConfig& c) { c.tokens_per_sample = 9; }) == "no error");
  BOOST_TEST(mentions(refusal([](ModelConfig& c) { c.heads = 4; }), {"heads=2", "heads=4"}));
  DenseModel<device::Cpu, Fp32, ops::Gelu> gelu(device, config, {"a"}, Seed{1});
  BOOST_TEST(mentions(error_of([&] { checkpoint::load_values(dense_path, gelu); }), {"relu", "gelu"}));
  BOOST_TEST(mentions(refusal([](ModelConfig& c) { c.layers = 1; }), {"layers=2", "layers=1"}));
  BOOST_TEST(mentions(refusal([](ModelConfig& c) { c.vocabulary = 12; }), {"vocabulary=11"}));
  BOOST_TEST(mentions(refusal([](ModelConfig& c) { c.tied_embeddings = true; }), {"tied-embeddings=0"}));
  BOOST_TEST(mentions(refusal([](ModelConfig& c) { c.positions = Positions::learned; }), {"sinusoidal"}));

  BOOST_TEST(mentions(error_of([&] { checkpoint::load_values(demix_path, dense); }), {"with experts"}));
  BOOST_TEST(mentions(error_of([&] { checkpoint::load_values(dense_path, demix); }), {"without experts"}));
  BOOST_TEST(mentions(error_of([&] { checkpoint::load_values(token_path, dense); }),
                      {"embed_tokens.weight", "[13, 8]", "[11, 8]"}));
  DomainTokens swapped(device, config, {"b", "a"}, Seed{1});
  BOOST_TEST(mentions(error_of([&] { checkpoint::load_values(token_path, swapped); }), {"domains"}));
  Experts unknown(device, config, {"a", "c"}, Seed{1});
  BOOST_TEST(
      mentions(error_of([&] { checkpoint::load_values(demix_path, unknown); }), {"experts/c.h5", "missing"}));
}

BOOST_AUTO_TEST_CASE(a_learned_table_of_another_length_is_refused) {
  const TemporaryFolder folder;
  device::Cpu device;
  auto config = small_config();
  config.positions = Positions::learned;
  Dense saved(device, config, {"a"}, Seed{1});
  save_without_state(folder.path / "x", "dense", saved);
  config.tokens_per_sample = 6;
  Dense longer(device, config, {"a"}, Seed{1});
  BOOST_TEST(mentions(error_of([&] { checkpoint::load_values(folder.path / "x", longer); }),
                      {"embed_positions.weight", "[7, 8]", "[8, 8]"}));
}

BOOST_AUTO_TEST_CASE(a_checkpoint_looks_at_experts_when_they_are_loaded) {
  const TemporaryFolder folder;
  device::Cpu device;
  Experts experts(device, small_config(), {"a", "b"}, Seed{1});
  Dense dense(device, small_config(), {"a", "b"}, Seed{1});
  save_without_state(folder.path / "x", "demix", experts);
  save_without_state(folder.path / "dense", "dense", dense);
  fs::create_directory_symlink("x", folder.path / "link");
  const checkpoint::Checkpoint from(folder.path / "link");
  BOOST_TEST(from.path.filename() == "x");
  BOOST_TEST(from.has_experts);
  BOOST_TEST(from.metadata.step == 3u);
  from.require_experts();
  const checkpoint::Checkpoint without(folder.path / "dense");
  BOOST_TEST(!without.has_experts);
  BOOST_TEST(mentions(error_of([&] { without.require_experts(); }), {"dense", "has no experts"}));
  BOOST_TEST(mentions(error_of([&] { checkpoint::load_expert(without, "a", experts, ExpertId{0}); }),
                      {"has no experts"}));

  write_bytes(folder.path / "x" / "experts" / "b.h5", "damaged");
  const checkpoint::Checkpoint damaged(folder.path / "x");
  checkpoint::load_expert(damaged, "a", experts, ExpertId{1});
  BOOST_TEST(mentions(error_of([&] { checkpoint::load_values(damaged, experts); }), {"experts/b.h5"}));
  BOOST_TEST(mentions(error_of([&] { checkpoint::read_metadata(folder.path / "x"); }), {"experts/b.h5"}));
  fs::remove(folder.path / "x" / "experts" / "b.h5");
  BOOST_TEST(
      mentions(error_of([&] { checkpoint::Checkpoint(folder.path / "x"); }), {"experts/b.h5", "missing"}));
}

BOOST_AUTO_TEST_CASE(what_is_no_checkpoint) {
  const TemporaryFolder folder;
  const auto refusal = [](const fs::path& path) {
    return error_of([&] { checkpoint::read_metadata(path); });
  };
  BOOST_TEST(mentions(refusal(folder.path / "nothing"), {"nothing", "not a checkpoint"}));
  write_bytes(folder.path / "file", "text");
  BOOST_TEST(mentions(refusal(folder.path / "file"), {"not a checkpoint"}));
  BOOST_TEST(mentions(refusal(folder.path), {"no model.h5"}));
  fs::create_directory(folder.path / "checkpoint_last");
  BOOST_TEST(mentions(refusal(folder.path), {"checkpoint_last"}));
  write_bytes(folder.path / "model.h5", "this is not HDF5");
  BOOST_TEST(mentions(refusal(folder.path), {"model.h5", "cannot be opened"}));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
