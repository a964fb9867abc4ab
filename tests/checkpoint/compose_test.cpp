// Checkpoints from parts of others, without their model's type.

#include "demix/checkpoint/compose.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <boost/test/unit_test.hpp>
#include <map>

#include "checkpoint/fixtures.hpp"

using namespace demix;
using namespace demix::test;
using namespace demix::checkpoint;

namespace {

const std::vector<std::string> three{"news", "law", "code"};

struct Fixture {
  TemporaryFolder folder;
  device::Cpu cpu;
  Experts model{cpu, small_config(), three, Seed{1}};
  Experts::Gradients m = model.make_gradients(), v = model.make_gradients();
  fs::path base = folder.path / "base";

  Fixture() {
    fill_random_bits(model, model.weights().master(), 7);
    fill_random_bits(model, m, 8);
    auto state = state_of(model, m, v);
    save(base, metadata_of(model, "demix"), model, &state);
  }
  fs::path out(const std::string& name) const { return folder.path / name; }

  /// Another checkpoint: the same model after change(model).
  template <class Change>
  fs::path variant(const std::string& name, Change change, std::string fingerprint = "fingerprint-1") {
    Experts other(cpu, small_config(), {"news", "novel"});
    std::copy_n(model.weights().master().region(RegionId::shared()).data(),
                model.weights().master().region(RegionId::shared()).size(),
                other.weights().master().region(RegionId::shared()).data());
    fill_expert(other, ExpertId{0}, 50);
    fill_expert(other, ExpertId{1}, 51);
    change(other);
    Metadata metadata = metadata_of(other, "demix");
    metadata.vocabulary_fingerprint = fingerprint;
    save(out(name), metadata, other);
    return out(name);
  }
  static void fill_expert(Experts& other, ExpertId region, std::uint64_t seed) {
    for (std::size_t i = 0; i < other.weights().master().region(region).size(); ++i)
      other.weights().master().region(region)[i] =
          uniform_unit(philox(Seed{seed}, static_cast<std::uint32_t>(i), 0, 0, 0).word[0]);
  }
};

/// Every file below a folder with its content.
std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), folder).string()] = read_bytes(entry.path());
  return files;
}

template <class F>
void check_refused(F f, const std::string& words) {
  BOOST_CHECK_EXCEPTION(f(), std::exception, [&](const std::exception& error) {
    const std::string message = error.what();
    BOOST_TEST(message.find(words) != std::string::npos, message << " does not say: " << words);
    return true;
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(composing)

BOOST_FIXTURE_TEST_CASE(add_and_remove_give_back_every_file_byte_for_byte, Fixture) {
  const auto before = files_of(base);
  const auto other = variant("other", [](Experts&) {});
  add_experts(base, {{other, "novel", "novel"}, {other, "news", "news2"}}, out("more"));
  const auto metadata = read_metadata(out("more"));
  BOOST_TEST((metadata.domains == std::vector<std::string>{"news", "law", "code", "novel", "news2"}));
  BOOST_TEST(read_bytes(expert_file(out("more"), "novel")) == read_bytes(expert_file(other, "novel")));
  BOOST_TEST(read_bytes(expert_file(out("more"), "law")) == read_bytes(expert_file(base, "law")));

  Experts loaded(cpu, small_config(), metadata.domains);
  load_values(out("more"), loaded);
  const ExpertSource source{other, "news", "news2"};
  Experts alone(cpu, small_config(), {"whatever"});
  load_expert(Checkpoint(source.checkpoint), source.domain, alone, ExpertId{0});
  BOOST_TEST(std::memcmp(loaded.weights().master().region(ExpertId{4}).data(),
                         alone.weights().master().region(ExpertId{0}).data(),
                         alone.weights().master().region(ExpertId{0}).size() * sizeof(float)) == 0);

  remove_experts(out("more"), {"novel", "news2"}, out("again"));
  BOOST_TEST((files_of(out("again")) == before));
  BOOST_TEST((files_of(base) == before));
}

BOOST_FIXTURE_TEST_CASE(a_renamed_expert_keeps_its_values, Fixture) {
  rename_expert(base, "law", "court", out("renamed"));
  Experts loaded(cpu, small_config(), {"news", "court", "code"});
  load_values(out("renamed"), loaded);
  BOOST_TEST(differing_values(model, model.weights().master(), loaded.weights().master()) == 0u);
  BOOST_TEST(!fs::exists(state_file(out("renamed"))));
  rename_expert(out("renamed"), "court", "law", out("back"));
  BOOST_TEST(read_bytes(expert_file(out("back"), "law")) == read_bytes(expert_file(base, "law")));
  BOOST_TEST(read_bytes(model_file(out("back"))) == read_bytes(model_file(base)));
  check_refused([&] { rename_expert(base, "law", "code", out("x")); }, "'code' stands twice");
  check_refused([&] { rename_expert(base, "law", "../law", out("x")); }, "cannot be a file name");
  check_refused([&] { rename_expert(base, "lwa", "court", out("x")); }, "did you mean 'law'");
}

BOOST_FIXTURE_TEST_CASE(a_merged_expert_is_the_weighted_average_in_double, Fixture) {
  for (int e = 0; e < 3; ++e) fill_expert(model, ExpertId{e}, static_cast<std::uint64_t>(e) + 1);
  save<Experts>(out("plain"), metadata_of(model, "demix"), model, nullptr);
  merge_experts(out("plain"), {{"news", 1}, {"code", 3}}, "mixed", out("merged"));
  Experts loaded(cpu, small_config(), {"news", "law", "code", "mixed"});
  load_values(out("merged"), loaded);
  const auto a = loaded.weights().master().region(ExpertId{0}),
             c = loaded.weights().master().region(ExpertId{2}),
             mixed = loaded.weights().master().region(ExpertId{3});
  for (const auto& p : loaded.layout().expert.parameters())
    for (std::size_t i = p.offset; i < p.offset + p.size(); ++i)
      BOOST_TEST(mixed[i] ==
                 static_cast<float>(0.25 * static_cast<double>(a[i]) + 0.75 * static_cast<double>(c[i])));
  check_refused([&] { merge_experts(base, {{"news", 1}, {"code", -3}}, "mixed", out("x")); }, "positive");
  check_refused([&] { merge_experts(base, {{"news", 0}, {"code", 3}}, "mixed", out("x")); }, "positive");
  check_refused([&] { merge_experts(base, {{"news", NAN}, {"code", 3}}, "mixed", out("x")); }, "positive");
  check_refused([&] { merge_experts(base, {{"news", 1e308}, {"code", 1e308}}, "mixed", out("x")); }, "sum");
  check_refused([&] { merge_experts(base, {{"news", 1}, {"code", 1}}, "a/b", out("x")); }, "file name");
  check_refused([&] { merge_experts(base, {{"news", 1}}, "mixed", out("x")); }, "two experts");
  check_refused(
      [&] {
        merge_experts(base, {{"news", 1}, {"code", 1}}, "law", out("x"));
      },
      "'law' stands twice");
}

BOOST_FIXTURE_TEST_CASE(an_extracted_expert_is_a_dense_model_with_its_losses, Fixture) {
  Experts sane(cpu, small_config(), three, Seed{4});
  for (int e = 0; e < 3; ++e) fill_expert(sane, ExpertId{e}, static_cast<std::uint64_t>(e) + 1);
  save<Experts>(out("sane"), metadata_of(sane, "demix"), sane, nullptr);
  extract_expert(out("sane"), "law", out("dense"));
  const auto metadata = read_metadata(out("dense"));
  BOOST_TEST(metadata.experiment == "dense");
  Dense dense(cpu, metadata.config, metadata.domains);
  load_values(out("dense"), dense);
  Batch batch;
  batch.sequence_length = 4;
  batch.source = {2, 4, 5, 6};
  batch.target = {4, 5, 6, 7};
  batch.segments = {{DomainId{0}, 0, 1}};
  const auto as_dense = dense.token_losses(batch);
  batch.segments = {{DomainId{1}, 0, 1}};
  BOOST_TEST(as_dense == sane.token_losses(batch), boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(another_body_is_refused_with_what_differs, Fixture) {
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

BOOST_FIXTURE_TEST_CASE(dropout_and_context_length_may_differ, Fixture) {
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

BOOST_FIXTURE_TEST_CASE(a_checkpoint_without_state_stays_without, Fixture) {
  fs::remove(state_file(base));
  fs::remove_all(state_folder(base));
  const auto before = files_of(base);
  add_experts(base, {{base, "law", "law2"}}, out("more"));
  BOOST_TEST(!fs::exists(state_file(out("more"))));
  remove_experts(out("more"), {"law2"}, out("again"));
  BOOST_TEST((files_of(out("again")) == before));
}

BOOST_FIXTURE_TEST_CASE(an_expert_that_keeps_its_name_brings_its_own_state, Fixture) {
  const auto state_of_expert = [&](const std::string& checkpoint, const std::string& name) {
    return read_bytes(expert_state_file(out(checkpoint), name));
  };
  remove_experts(base, {"code"}, out("less"));
  BOOST_TEST(!fs::exists(expert_state_file(out("less"), "code")));
  BOOST_TEST(state_of_expert("less", "law") == state_of_expert("base", "law"));
  // From elsewhere under its own name, and under another one.
  add_experts(out("less"), {{base, "code", "code"}, {base, "law", "court"}}, out("more"));
  BOOST_TEST(state_of_expert("more", "code") == state_of_expert("base", "code"));
  BOOST_TEST(!fs::exists(expert_state_file(out("more"), "court")));
  const auto other = variant("other", [](Experts&) {});  // without a state
  add_experts(base, {{other, "novel", "novel"}}, out("mixed"));
  BOOST_TEST(!fs::exists(expert_state_file(out("mixed"), "novel")));
  BOOST_TEST(mentions(error_of([&] {
                        Experts loaded(cpu, small_config(), {"news", "law", "code", "novel"});
                        auto loaded_m = loaded.make_gradients(), loaded_v = loaded.make_gradients();
                        auto state = state_of(loaded, loaded_m, loaded_v);
                        SavedState(Checkpoint(out("mixed"))).load(cpu, state);
                      }),
                      {"cannot resume", "state/novel.h5"}));
}

BOOST_FIXTURE_TEST_CASE(compose_takes_experts_in_any_order, Fixture) {
  const auto other = variant("other", [](Experts&) {});
  compose(out("mixed"), base, {{base, "code", "code"}, {other, "news", "novel"}, {base, "news", "news"}});
  Experts loaded(cpu, small_config(), {"code", "novel", "news"});
  load_values(out("mixed"), loaded);
  BOOST_TEST((read_metadata(out("mixed")).domains == loaded.domains()));
  const auto same = [](auto a, auto b) {
    return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  };
  BOOST_TEST(same(loaded.weights().master().region(RegionId::shared()),
                  model.weights().master().region(RegionId::shared())));
  BOOST_TEST(
      same(loaded.weights().master().region(ExpertId{0}), model.weights().master().region(ExpertId{2})));
  BOOST_TEST(
      same(loaded.weights().master().region(ExpertId{2}), model.weights().master().region(ExpertId{0})));
  check_refused([&] { compose(out("x"), base, {}); }, "at least one domain");
}

BOOST_FIXTURE_TEST_CASE(an_expert_of_other_parameters_is_refused, Fixture) {
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

BOOST_FIXTURE_TEST_CASE(names_and_places_that_cannot_be_are_refused, Fixture) {
  const auto other = variant("other", [](Experts&) {});
  check_refused(
      [&] {
        add_experts(base, {{other, "news", "news"}}, out("x"));
      },
      "has an expert 'news' already");
  check_refused([&] { add_experts(base, {{other, "novl", "n"}}, out("x")); }, "did you mean 'novel'");
  check_refused(
      [&] {
        add_experts(base, {{other, "novel", "a"}, {other, "novel", "a"}}, out("x"));
      },
      "already");
  check_refused([&] { remove_experts(base, {"cod"}, out("x")); }, "did you mean 'code'");
  check_refused([&] { remove_experts(base, three, out("x")); }, "at least one expert");
  check_refused([&] { remove_experts(base, {"code"}, base); }, "exists already");
  check_refused([&] { remove_experts(base, {"code", "code"}, out("x")); }, "'code' is named twice");
  check_refused([&] { merge_experts(base, {{"news", 1}, {"news", 2}}, "m", out("x")); }, "named twice");
  check_refused([&] { rename_expert(base, "code", "code", out("x")); }, "its name already");
  const auto before = files_of(base);
  fs::create_directory_symlink("base", out("link"));
  for (const auto& inside : {base / "new", base / "experts" / "new", out("link") / "new"}) {
    check_refused([&] { remove_experts(base, {"code"}, inside); }, "lies in the checkpoint");
    check_refused([&] { extract_expert(base, "code", inside); }, "lies in the checkpoint");
    check_refused([&] { add_experts(other, {{base, "code", "code"}}, inside); }, "lies in the checkpoint");
  }
  extract_expert(base, "code", out("base2"));  // beside it, under a name that starts like its own
  BOOST_TEST((files_of(base) == before));
  write_bytes(out("file"), "");
  check_refused([&] { remove_experts(base, {"code"}, out("file")); }, "exists already");
  fs::create_symlink("nowhere", out("dangling"));
  check_refused([&] { remove_experts(base, {"code"}, out("dangling")); }, "exists already");
  check_refused([&] { remove_experts(out("nothing"), {"code"}, out("x")); }, "not a checkpoint");
  check_refused([&] { remove_experts(base, {"code"}, out("no/such/folder")); }, "no/such");
  BOOST_TEST(!fs::exists(out("x")));
  check_refused([&] { parse_expert_source("base:", base); }, "is not an expert");
  check_refused([&] { parse_expert_source("law=", base); }, "is not an expert");
  const auto source = parse_expert_source("a:b/c:law=court", base);
  BOOST_TEST(source.checkpoint == fs::path("a:b/c"));
  BOOST_TEST(source.domain == "law");
  BOOST_TEST(source.name == "court");
}

BOOST_FIXTURE_TEST_CASE(damage_anywhere_in_what_is_copied_is_found, Fixture) {
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
BOOST_FIXTURE_TEST_CASE(a_flipped_bit_in_any_parameter_is_found, Fixture) {
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
BOOST_FIXTURE_TEST_CASE(a_full_disk_leaves_no_trace, Fixture) {
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
BOOST_FIXTURE_TEST_CASE(read_only_inputs_serve, Fixture) {
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
