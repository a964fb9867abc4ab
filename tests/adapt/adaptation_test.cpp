// Whole adaptations of small models: which numbers change, and which keep their bits.

#include "demix/adapt/adaptation.hpp"

#include <boost/test/unit_test.hpp>
#include <set>

#include "checkpoint/fixtures.hpp"
#include "demix/data/indexed_file_writer.hpp"

using namespace demix;
using demix::test::error_of, demix::test::mentions;
namespace fs = std::filesystem;

namespace {

/// A data-bin of one domain, "new", and a base with random values that knows three others.
template <class Model>
struct Setting {
  explicit Setting(const std::string& experiment, bool tied = false) {
    std::string dictionary;
    for (int i = 0; i < 7; ++i) dictionary += concat(i, " 1\n");
    fs::create_directories(data() / "new");
    test::write_bytes(data() / "dict.txt", dictionary);
    for (const char* split : {"train", "valid_new"}) {
      data::TokenFileWriter writer(data() / "new" / split, 11);
      for (Token t = 4; t < 11; ++t) writer.add(std::vector<Token>{t, 4 + t % 7, 5, t, 2});
      writer.finish();
    }
    auto config = test::small_config();
    config.tied_embeddings = tied;
    Model model(device, config, {"a", "b", "c"}, Seed{3});
    for (const ExpertId e : model.weights().held().list())
      for (float& x : model.weights().master().region(e)) x *= static_cast<float>(1 + index(e));
    auto metadata = test::metadata_of(model, experiment, 40);
    metadata.vocabulary_fingerprint = text::Dictionary::load(data() / "dict.txt").fingerprint();
    checkpoint::save(base_path(), metadata, model);
  }

  fs::path data() const { return folder.path / "data"; }
  fs::path base_path() const { return folder.path / "base"; }

  adapt::Settings options(const std::string& mode, const std::string& from = {}) const {
    adapt::Settings options;
    options.data = data();
    options.checkpoint = base_path();
    options.domain = "new";
    options.mode = mode == "full" ? adapt::Mode::full : adapt::Mode::feedforward;
    options.from = from;
    options.training.experiment = checkpoint::read_metadata(base_path()).experiment;
    options.training.max_update = 6;
    options.training.learning_rate = 0.01;
    options.training.update_freq = 1;
    options.training.keep_checkpoints = 0;
    options.training.save_dir = folder.path / "run";
    return options;
  }

  /// Adapts, and returns what the run's last checkpoint holds.
  std::unique_ptr<Model> adapt(const adapt::Settings& options) {
    adapt::Adaptation<Model> adaptation(device, checkpoint::ModelSource(base_path()), options);
    BOOST_TEST(adaptation.train([] {}));
    if (Model::has_experts) adaptation.folder().join(adaptation.record());
    return load(options.training.save_dir / "checkpoint_last");
  }

  std::unique_ptr<Model> load(const fs::path& path) {
    const auto metadata = checkpoint::read_metadata(path);
    auto model = std::make_unique<Model>(device, metadata.config, metadata.domains);
    checkpoint::load_values(path, *model);
    return model;
  }

  const test::TemporaryFolder folder;
  device::Cpu device;
};

/// The names of the shared parameters of which a number differs in any bit, among those that both have.
template <class Model>
std::set<std::string> changed_parameters(const Model& a, const Model& b) {
  std::set<std::string> result;
  for (std::size_t p = 0; p < a.layout().shared.parameters().size(); ++p) {
    const auto &in_a = a.layout().shared.parameters()[p], &in_b = b.layout().shared.parameters()[p];
    const std::size_t size = std::min(in_a.size(), in_b.size());
    if (std::memcmp(a.weights().master().region(RegionId::shared()).data() + in_a.offset,
                    b.weights().master().region(RegionId::shared()).data() + in_b.offset,
                    size * sizeof(float)) != 0)
      result.insert(in_a.name);
  }
  return result;
}

bool same_region(const auto& a, RegionId region_a, const auto& b, RegionId region_b) {
  const auto x = a.weights().master().region(region_a), y = b.weights().master().region(region_b);
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size_bytes()) == 0;
}

const std::set<std::string> feed_forward_names = [] {
  std::set<std::string> names;
  for (const char* block : {"decoder.layers.0.", "decoder.layers.1."})
    for (const char* name : {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"})
      names.insert(concat(block, name));
  return names;
}();

}  // namespace

BOOST_AUTO_TEST_SUITE(adaptation)

BOOST_AUTO_TEST_CASE(demix_feedforward_changes_the_new_expert_alone) {
  Setting<test::Experts> setting("demix");
  const auto run = setting.adapt(setting.options("feedforward", "b"));
  const auto base = setting.load(setting.base_path()),
             joined = setting.load(setting.folder.path / "run" / "joined");
  BOOST_TEST(run->domains() == (std::vector<std::string>{"new"}), boost::test_tools::per_element());
  BOOST_TEST(joined->domains() == (std::vector<std::string>{"a", "b", "c", "new"}),
             boost::test_tools::per_element());
  BOOST_TEST(changed_parameters(*base, *run).empty());
  BOOST_TEST(changed_parameters(*base, *joined).empty());
  BOOST_TEST(!same_region(*run, ExpertId{0}, *base, ExpertId{1}));
  BOOST_TEST(same_region(*joined, ExpertId{3}, *run, ExpertId{0}));
  for (const char* domain : {"a", "b", "c"})
    BOOST_TEST(test::read_bytes(checkpoint::expert_file(setting.folder.path / "run" / "joined", domain)) ==
               test::read_bytes(checkpoint::expert_file(setting.base_path(), domain)));
}

BOOST_AUTO_TEST_CASE(demix_full_changes_body_and_new_expert_and_keeps_the_old_ones) {
  Setting<test::Experts> setting("demix");
  const auto run = setting.adapt(setting.options("full", "b"));
  const auto base = setting.load(setting.base_path()),
             joined = setting.load(setting.folder.path / "run" / "joined");
  BOOST_TEST(changed_parameters(*base, *run).size() == base->layout().shared.parameters().size());
  BOOST_TEST(changed_parameters(*run, *joined).empty());
  BOOST_TEST(same_region(*joined, ExpertId{3}, *run, ExpertId{0}));
  for (int expert = 0; expert < 3; ++expert)
    BOOST_TEST(same_region(*joined, ExpertId{expert}, *base, ExpertId{expert}));
}

BOOST_AUTO_TEST_CASE(the_first_update_starts_from_the_chosen_expert) {
  Setting<test::Experts> setting("demix");
  auto options = setting.options("feedforward", "c");
  options.training.max_update = 1;
  options.training.learning_rate = 1e-60;  // zero in single precision
  options.training.adam.weight_decay = 0;
  const auto run = setting.adapt(options);
  const auto base = setting.load(setting.base_path());
  BOOST_TEST(same_region(*run, ExpertId{0}, *base, ExpertId{2}));
  BOOST_TEST(!same_region(*run, ExpertId{0}, *base, ExpertId{1}));
}

BOOST_AUTO_TEST_CASE(dense_feedforward_changes_fc1_and_fc2_of_every_block) {
  Setting<test::Dense> setting("unbalanced");
  const auto run = setting.adapt(setting.options("feedforward"));
  const auto base = setting.load(setting.base_path());
  BOOST_TEST(run->domains() == (std::vector<std::string>{"a", "b", "c", "new"}),
             boost::test_tools::per_element());
  BOOST_TEST((changed_parameters(*base, *run) == feed_forward_names));
  BOOST_TEST(checkpoint::read_metadata(setting.folder.path / "run" / "checkpoint_last").experiment ==
             "unbalanced");
  BOOST_TEST(!fs::exists(setting.folder.path / "run" / "joined"));
}

BOOST_AUTO_TEST_CASE(dense_full_changes_everything) {
  Setting<test::Dense> setting("dense");
  const auto run = setting.adapt(setting.options("full"));
  const auto base = setting.load(setting.base_path());
  BOOST_TEST(changed_parameters(*base, *run).size() == base->layout().shared.parameters().size());
}

BOOST_AUTO_TEST_CASE(domain_token_feedforward_changes_fc1_fc2_and_adds_a_row) {
  for (const bool tied : {false, true}) {
    Setting<test::DomainTokens> setting("domain_token", tied);
    const auto run = setting.adapt(setting.options("feedforward", "b"));
    const auto base = setting.load(setting.base_path());
    BOOST_TEST((changed_parameters(*base, *run) == feed_forward_names));
    const auto& tables = run->layout().shared.parameters();
    std::size_t grown = 0;
    for (std::size_t p = 0; p < tables.size(); ++p) {
      const auto& before = base->layout().shared.parameters()[p];
      if (tables[p].rows == before.rows) continue;
      ++grown;
      BOOST_TEST(tables[p].rows == 11u + 4u);
      const auto* row =
          run->weights().master().region(RegionId::shared()).data() + tables[p].offset + before.size();
      const auto* start =
          base->weights().master().region(RegionId::shared()).data() + before.offset + (11 + 1) * 8;
      BOOST_TEST(std::memcmp(row, start, 8 * sizeof(float)) != 0);  // it was trained
    }
    BOOST_TEST(grown == (tied ? 1u : 2u));
  }
}

BOOST_AUTO_TEST_CASE(the_gradient_norm_counts_what_is_trained) {
  Setting<test::Experts> setting("demix");
  std::vector<double> norms;
  for (const char* mode : {"feedforward", "full"}) {
    auto options = setting.options(mode, "a");
    options.training.save_dir = setting.folder.path / mode;
    options.training.log_interval = 1;
    setting.adapt(options);
    std::ifstream in(options.training.save_dir / "metrics.jsonl");
    std::string line;
    std::getline(in, line);
    norms.push_back(nlohmann::json::parse(line).at("gradient_norm"));
  }
  BOOST_TEST(norms[0] > 0);
  BOOST_TEST(norms[0] < 0.9 * norms[1]);
}

BOOST_AUTO_TEST_CASE(a_missing_joined_model_is_joined_again_and_a_changed_base_is_noticed) {
  Setting<test::Experts> setting("demix");
  const auto options = setting.options("feedforward", "a");
  setting.adapt(options);
  const auto joined = options.training.save_dir / "joined";
  const auto model = test::read_bytes(joined / "model.h5"),
             expert = test::read_bytes(joined / "experts" / "new.h5");
  fs::remove_all(joined);
  setting.adapt(options);
  BOOST_TEST(test::read_bytes(joined / "model.h5") == model);
  BOOST_TEST(test::read_bytes(joined / "experts" / "new.h5") == expert);
  fs::remove_all(joined);
  const auto file = checkpoint::expert_file(setting.base_path(), "b");
  fs::copy_file(checkpoint::expert_file(setting.base_path(), "a"), file,
                fs::copy_options::overwrite_existing);
  test::set_text(file, "domain", "b");
  BOOST_TEST(mentions(error_of([&] { setting.adapt(options); }), {"base", "save_dir"}));
}

BOOST_AUTO_TEST_CASE(the_folder_of_another_run_is_refused) {
  Setting<test::Dense> setting("dense");
  auto options = setting.options("full");
  fs::create_directories(options.training.save_dir);
  fs::copy(setting.base_path(), options.training.save_dir / "checkpoint_40", fs::copy_options::recursive);
  BOOST_TEST(mentions(error_of([&] { setting.adapt(options); }), {"no adaptation", "save_dir"}));
  BOOST_TEST(!fs::exists(options.training.save_dir / "adapt.json"));
}

BOOST_AUTO_TEST_SUITE_END()
