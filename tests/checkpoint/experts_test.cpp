// Which experts fit a body, and how they are named.

#include "demix/checkpoint/experts.hpp"

#include "checkpoint/compose_fixture.hpp"
#include "demix/checkpoint/compose.hpp"

using namespace demix;
using namespace demix::test;
using namespace demix::checkpoint;

BOOST_AUTO_TEST_SUITE(experts)

BOOST_FIXTURE_TEST_CASE(the_name_of_an_expert_says_where_it_is, ComposeFixture) {
  check_refused([&] { parse_expert_source("base:", base); }, "is not an expert");
  check_refused([&] { parse_expert_source("law=", base); }, "is not an expert");
  const auto source = parse_expert_source("a:b/c:law=court", base);
  BOOST_TEST(source.checkpoint == fs::path("a:b/c"));
  BOOST_TEST(source.domain == "law");
  BOOST_TEST(source.name == "court");
}

BOOST_FIXTURE_TEST_CASE(a_checkpoint_is_read_once_whatever_leads_to_it, ComposeFixture) {
  fs::create_directory_symlink("base", out("link"));
  Checkpoints checkpoints;
  const Checkpoint& first = checkpoints.at(base);
  BOOST_TEST(first.metadata.domains == three, boost::test_tools::per_element());
  const auto other = variant("other", [](Experts&) {});
  BOOST_TEST(checkpoints.at(other).metadata.domains == (std::vector<std::string>{"news", "novel"}),
             boost::test_tools::per_element());
  fs::remove(model_file(base));
  BOOST_TEST(&checkpoints.at(base) == &first);
  BOOST_TEST(&checkpoints.at(out("link")) == &first);
  BOOST_TEST(first.path == base);
  check_refused([&] { Checkpoints().at(base); }, "not a checkpoint");
}

BOOST_FIXTURE_TEST_CASE(another_body_is_refused_with_what_differs, ComposeFixture) {
  const auto add = [&](const fs::path& from) {
    return [&, from] { add_experts(base, {{from, "novel", "novel"}}, out("x")); };
  };
  const auto& last = model.layout().shared.parameters().back();
  check_refused(add(variant("value",
                            [&](Experts& other) {
                              other.weights().master().region(RegionId::shared())[last.offset] += 1;
                            })),
                last.name);
  check_refused(add(variant(
                    "vocabulary", [](Experts&) {}, "fingerprint-2")),
                "fingerprint-2");
  const auto refused_config = [&](const char* name, auto change, const std::string& words) {
    ModelConfig config = small_config();
    change(config);
    with_experts_of(config, [&]<class Model>() {
      Model strange(cpu, config, {"novel"}, Seed{1});
      save(out(name), metadata_of(strange, "demix"), strange);
    });
    check_refused(add(out(name)), words);
  };
  refused_config(
      "ffn", [](ModelConfig& c) { c.d_ffn = 16; }, "d-ffn=16");
  refused_config(
      "width", [](ModelConfig& c) { c.d_model = 16; }, "d-model=16");
  refused_config(
      "heads", [](ModelConfig& c) { c.heads = 4; }, "heads=4");
  refused_config(
      "layers", [](ModelConfig& c) { c.layers = 1; }, "layers=1");
  refused_config(
      "activation", [](ModelConfig& c) { c.activation = "gelu"; }, "activation=gelu");
  refused_config(
      "tied", [](ModelConfig& c) { c.tied_embeddings = true; }, "tied-embeddings=1");
  refused_config(
      "words", [](ModelConfig& c) { c.vocabulary = 12; }, "vocabulary=12");
  const auto sign = variant("sign", [&](Experts& other) {
    auto& value =
        other.weights().master().region(RegionId::shared())[model.layout().shared.parameters()[3].offset];
    value = -value;
  });
  check_refused(add(sign), "the values of " + model.layout().shared.parameters()[3].name);
  const auto gated = variant("gated", [](Experts&) {});
  Experts copy(cpu, small_config(), {"news", "novel"});
  load_values(gated, copy);
  save<Experts>(out("own"), metadata_of(copy, "demix_gated"), copy, nullptr);
  check_refused(add(out("own")), "the experiments are demix_gated and demix");
  Dense dense(cpu, small_config(), {"novel"}, Seed{1});
  save<Dense>(out("dense"), metadata_of(dense, "dense"), dense, nullptr);
  check_refused(add(out("dense")), "has no experts");
  check_refused([&] { add_experts(out("dense"), {{base, "news", "n"}}, out("x")); }, "has no experts");
  BOOST_TEST(!fs::exists(out("x")));
}

BOOST_FIXTURE_TEST_CASE(dropout_and_context_length_may_differ, ComposeFixture) {
  ModelConfig config = small_config();
  config.dropout = 0.5f;
  config.tokens_per_sample = 9;
  Experts other(cpu, config, {"novel"}, Seed{1});
  std::copy_n(model.weights().master().region(RegionId::shared()).data(),
              model.weights().master().region(RegionId::shared()).size(),
              other.weights().master().region(RegionId::shared()).data());
  save<Experts>(out("other"), metadata_of(other, "demix"), other, nullptr);
  add_experts(base, {{out("other"), "novel", "novel"}}, out("more"));
  const auto found = read_metadata(out("more")).config;
  BOOST_TEST(found.describe() == model.dictionary_config().describe());

  // But a learned table of positions is a shared parameter.
  config = small_config();
  config.positions = Positions::learned;
  Experts learned(cpu, config, {"news"}, Seed{1});
  save<Experts>(out("learned"), metadata_of(learned, "demix"), learned, nullptr);
  config.tokens_per_sample = 9;
  Experts longer(cpu, config, {"novel"}, Seed{1});
  save<Experts>(out("longer"), metadata_of(longer, "demix"), longer, nullptr);
  check_refused(
      [&] {
        add_experts(out("learned"), {{out("longer"), "novel", "novel"}}, out("x"));
      },
      "'decoder.embed_positions.weight' has shape [11, 8], expected [7, 8]");
  check_refused([&] { add_experts(base, {{out("learned"), "news", "n"}}, out("x")); }, "positions=learned");
}

BOOST_FIXTURE_TEST_CASE(an_expert_of_other_parameters_is_refused, ComposeFixture) {
  const auto other = variant("other", [](Experts&) {});
  const auto file = expert_file(other, "novel");
  const auto bytes = read_bytes(file);
  const auto add = [&] { add_experts(base, {{other, "novel", "novel"}}, out("x")); };
  replace_dataset(file, "decoder.layers.1.fc2.bias", {9});
  check_refused(add, "'decoder.layers.1.fc2.bias' has shape [9], expected [8]");
  write_bytes(file, bytes);
  replace_dataset(file, "more", {1});
  check_refused(add, "unknown 'more'");
  write_bytes(file, bytes);
  tamper(file, [](hid_t id) { H5Ldelete(id, "decoder.layers.0.fc1.bias", H5P_DEFAULT); });
  check_refused(add, "'decoder.layers.0.fc1.bias' is missing");
  write_bytes(file, bytes);
  replace_dataset(file, "decoder.layers.1.fc2.bias", {8}, H5T_IEEE_F64LE);
  check_refused(add, "float32");
  fs::remove(file);
  check_refused(add, "missing");
  write_bytes(file, bytes);
  add();
}

BOOST_AUTO_TEST_SUITE_END()
