// Files cut short, with changed bytes, or put together from different checkpoints.

#include <boost/test/unit_test.hpp>

#include "checkpoint/fixtures.hpp"

namespace demix::test {
namespace {

/// A checkpoint of two experts, what it holds, and a model to load it into.
struct Saved {
  TemporaryFolder folder;
  device::Cpu device;
  fs::path path = folder.path / "x";
  Experts model, loaded;
  Experts::Gradients m, v, loaded_m, loaded_v;

  Saved()
      : model(device, small_config(), {"a", "b"}, Seed{1}),
        loaded(device, small_config(), {"a", "b"}, Seed{2}),
        m(model.make_gradients()),
        v(model.make_gradients()),
        loaded_m(model.make_gradients()),
        loaded_v(model.make_gradients()) {
    fill_random_bits(model, model.weights().master(), 1);
    fill_random_bits(model, m, 2);
    fill_random_bits(model, v, 3);
    const auto state = state_of(model, m, v, R"({"x": 1})");
    checkpoint::save(path, metadata_of(model, "demix"), model, &state);
  }

  std::string load() {
    return error_of([&] {
      checkpoint::load_values(path, loaded);
      auto state = state_of(loaded, loaded_m, loaded_v);
      const checkpoint::SavedState saved{checkpoint::Checkpoint(path)};
      saved.load(device, state);
      if (saved.scalars() != R"({"x": 1})") throw Error("WRONG scalars");
      if (differing_values(model, model.weights().master(), loaded.weights().master()) +
          differing_values(model, m, loaded_m) + differing_values(model, v, loaded_v))
        throw Error("WRONG values");
    });
  }

  fs::path expert(const std::string& domain) const { return path / "experts" / (domain + ".h5"); }
};

const char* const files[] = {"model.h5", "experts/a.h5", "state.h5", "state/a.h5"};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(damage, Saved)

BOOST_AUTO_TEST_CASE(undamaged_loads) { BOOST_TEST(load() == "no error"); }

BOOST_AUTO_TEST_CASE(truncated_files) {
  for (const char* name : files) {
    const auto bytes = read_bytes(path / name);
    for (std::size_t i = 0; i < 40; ++i) {
      const std::size_t length = i == 0 ? bytes.size() - 1 : (i - 1) * bytes.size() / 39;
      write_bytes(path / name, bytes.substr(0, length));
      const auto error = load();
      BOOST_TEST(mentions(error, {name}), name << " cut to " << length << ": " << error);
    }
    write_bytes(path / name, bytes);
  }
  BOOST_TEST(load() == "no error");
}

// A single changed byte anywhere is noticed, or stands where nothing is stored.
BOOST_AUTO_TEST_CASE(changed_bytes_never_pass_as_other_content) {
  for (const char* name : files) {
    const auto bytes = read_bytes(path / name);
    std::size_t noticed = 0, tried = 0;
    for (std::size_t at = 0; at < bytes.size(); at += at < 512 ? 3 : 1 + bytes.size() / 200) {
      auto damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
      write_bytes(path / name, damaged);
      const auto error = load();
      BOOST_TEST(!mentions(error, {"WRONG"}), name << " changed at " << at << ": " << error);
      noticed += error != "no error";
      ++tried;
    }
    BOOST_TEST(2 * noticed > tried, name << ": " << noticed << " of " << tried << " changes noticed");
    write_bytes(path / name, bytes);
  }
}

BOOST_AUTO_TEST_CASE(a_flipped_bit_in_values_names_file_and_dataset) {
  const std::pair<const char*, const char*> places[] = {
      {"model.h5", "decoder.embed_tokens.weight"},
      {"model.h5", "decoder.layers.1.self_attn.q_proj.bias"},
      {"experts/b.h5", "decoder.layers.0.fc2.weight"},
      {"state.h5", "adam_m/decoder.layer_norm.bias"},
      {"state/a.h5", "adam_v/decoder.layers.1.fc1.bias"},
      {"state.h5", "scalars"}};
  for (const auto& [name, dataset] : places) {
    const auto bytes = read_bytes(path / name);
    const auto at = offset_of(path / name, dataset);
    for (const int bit : {0, 3, 7}) {
      auto damaged = bytes;
      damaged[at + 5] = static_cast<char>(damaged[at + 5] ^ (1 << bit));
      write_bytes(path / name, damaged);
      const auto error = load();
      const std::string leaf = std::string(dataset).substr(std::string(dataset).rfind('/') + 1);
      BOOST_TEST(mentions(error, {name, leaf, "damaged", "hecksum"}), dataset << ": " << error);
    }
    write_bytes(path / name, bytes);
  }
}

BOOST_AUTO_TEST_CASE(missing_parts) {
  tamper(path / "model.h5", [](hid_t file) { H5Ldelete(file, "decoder.layer_norm.bias", H5P_DEFAULT); });
  BOOST_TEST(mentions(load(), {"model.h5", "'decoder.layer_norm.bias' is missing"}));
}

BOOST_AUTO_TEST_CASE(missing_attributes) {
  for (const char* name : {"format_version", "experiment", "domains", "experts", "vocabulary_fingerprint",
                           "dictionary_size", "step", "layers", "d_model", "heads", "d_ffn",
                           "tokens_per_sample", "activation", "positions", "tied_embeddings", "dropout"}) {
    const auto bytes = read_bytes(path / "model.h5");
    tamper(path / "model.h5", [&](hid_t file) { H5Adelete(file, name); });
    BOOST_TEST(mentions(load(), {"model.h5", name, "missing"}), name);
    write_bytes(path / "model.h5", bytes);
  }
}

BOOST_AUTO_TEST_CASE(attributes_that_are_no_model) {
  const auto bytes = read_bytes(path / "model.h5");
  const auto refusal = [&](const char* name, std::uint64_t value) {
    set_integer(path / "model.h5", name, value);
    const auto error = error_of([&] { checkpoint::read_metadata(path); });
    write_bytes(path / "model.h5", bytes);
    return error;
  };
  BOOST_TEST(mentions(refusal("heads", 3), {"model.h5", "multiple of heads"}));
  BOOST_TEST(mentions(refusal("layers", 0), {"model.h5", "layers", "must be positive"}));
  BOOST_TEST(mentions(refusal("dictionary_size", 0), {"dictionary_size"}));
  BOOST_TEST(mentions(refusal("experts", 3), {"3 experts for 2 domains"}));
  BOOST_TEST(mentions(refusal("format_version", 2), {"version 2", "version 1", DEMIX_PROJECT_VERSION}));
}

BOOST_AUTO_TEST_CASE(unknown_and_misshapen_datasets) {
  const auto bytes = read_bytes(path / "model.h5");
  const char* const name = "decoder.layers.0.self_attn.q_proj.weight";
  const auto refusal = [&](const char* dataset, std::vector<hsize_t> shape, hid_t type = H5T_IEEE_F32LE) {
    replace_dataset(path / "model.h5", dataset, shape, type);
    const auto error = load();
    write_bytes(path / "model.h5", bytes);
    return error;
  };
  BOOST_TEST(mentions(refusal("decoder.extra", {8}), {"model.h5", "unknown 'decoder.extra'"}));
  BOOST_TEST(mentions(refusal(name, {8, 9}), {name, "[8, 9]", "[8, 8]"}));
  BOOST_TEST(mentions(refusal(name, {64}), {name, "[64]", "[8, 8]"}));
  BOOST_TEST(mentions(refusal(name, {8, 8, 1}), {name, "[8, 8, 1]", "[8, 8]"}));
  BOOST_TEST(mentions(refusal("decoder.layer_norm.weight", {1, 8}), {"[1, 8]", "[8]"}));
  BOOST_TEST(mentions(refusal(name, {8, 8}, H5T_IEEE_F64LE), {name, "float32"}));
  BOOST_TEST(mentions(refusal(name, {8, 8}, H5T_IEEE_F32BE), {name, "float32"}));
  BOOST_TEST(load() == "no error");
}

BOOST_AUTO_TEST_CASE(expert_files) {
  const auto a = read_bytes(expert("a")), b = read_bytes(expert("b"));
  const auto refusal = [&] { return error_of([&] { checkpoint::read_metadata(path); }); };

  fs::remove(expert("a"));
  BOOST_TEST(mentions(refusal(), {"experts/a.h5", "missing"}));
  write_bytes(expert("a"), b);
  BOOST_TEST(mentions(refusal(), {"experts/a.h5", "'b'", "'a'"}));
  write_bytes(expert("a"), a);
  write_bytes(expert("c"), a);
  BOOST_TEST(mentions(refusal(), {"experts/c.h5", "remove"}));
  fs::remove(expert("c"));
  // What desktops, network file systems and editors leave.
  for (const char* hidden : {".DS_Store", "._a.h5", ".nfs000000000001", ".a.h5.swp", ".c.h5"})
    write_bytes(path / "experts" / hidden, "hidden");
  BOOST_TEST(refusal() == "no error");
  BOOST_TEST(load() == "no error");

  const auto take_from = [&](const ModelConfig& config, const std::string& fingerprint) {
    const auto other = folder.path / "other";
    with_experts_of(config, [&]<class Model>() {
      Model strange(device, config, {"a", "b"}, Seed{1});
      auto metadata = metadata_of(strange, "demix");
      metadata.vocabulary_fingerprint = fingerprint;
      checkpoint::save(other, metadata, strange);
    });
    write_bytes(expert("a"), read_bytes(other / "experts" / "a.h5"));
    fs::remove_all(other);
    return refusal();
  };
  auto config = small_config();
  BOOST_TEST(take_from(config, "fingerprint-1") == "no error");
  BOOST_TEST(mentions(take_from(config, "other"), {"experts/a.h5", "vocabulary_fingerprint", "other"}));
  config.d_ffn = 16;
  BOOST_TEST(mentions(take_from(config, "fingerprint-1"), {"d_ffn is 16", "12"}));
  config = small_config();
  config.d_model = 16;
  BOOST_TEST(mentions(take_from(config, "fingerprint-1"), {"d_model is 16", "8"}));
  config = small_config();
  config.layers = 1;
  BOOST_TEST(mentions(take_from(config, "fingerprint-1"), {"layers is 1", "2"}));
  config = small_config();
  config.activation = "gelu";
  BOOST_TEST(mentions(take_from(config, "fingerprint-1"), {"activation is gelu", "relu"}));

  write_bytes(expert("a"), a);
  set_integer(expert("a"), "format_version", 7);
  BOOST_TEST(mentions(refusal(), {"experts/a.h5", "version 7"}));
  write_bytes(expert("a"), a);
  replace_dataset(expert("a"), "decoder.layers.0.fc1.bias", {13});
  BOOST_TEST(mentions(load(), {"experts/a.h5", "fc1.bias", "[13]", "[12]"}));
  write_bytes(expert("a"), a);
  replace_dataset(expert("a"), "more", {1});
  BOOST_TEST(mentions(load(), {"experts/a.h5", "unknown 'more'"}));
  write_bytes(expert("a"), a);
  BOOST_TEST(load() == "no error");
}

BOOST_AUTO_TEST_CASE(states_of_others) {
  const auto bytes = read_bytes(path / "state.h5");
  set_integer(path / "state.h5", "step", 4);
  BOOST_TEST(mentions(load(), {"state.h5", "step 4", "step 3"}));
  write_bytes(path / "state.h5", bytes);
  set_integer(path / "state.h5", "format_version", 0);
  BOOST_TEST(mentions(load(), {"state.h5", "version 0"}));
  write_bytes(path / "state.h5", bytes);
  tamper(path / "state.h5", [](hid_t file) { H5Ldelete(file, "adam_v", H5P_DEFAULT); });
  BOOST_TEST(mentions(load(), {"state.h5", "'adam_v' is missing"}));
  write_bytes(path / "state.h5", bytes);
  set_text(path / "state.h5", "parts", "experts");
  BOOST_TEST(mentions(load(), {"state.h5", "'parts' is 'experts'", "'shared' or 'trained'"}));
  write_bytes(path / "state.h5", bytes);

  const auto b = path / "state" / "b.h5";
  const auto expert_bytes = read_bytes(b);
  fs::remove(b);
  BOOST_TEST(mentions(load(), {"cannot resume", "it has no state/b.h5"}));
  write_bytes(b, read_bytes(path / "state" / "a.h5"));
  BOOST_TEST(mentions(load(), {"state/b.h5", "the state of domain 'a', expected 'b'"}));
  write_bytes(b, expert_bytes);
  set_integer(b, "step", 4);
  BOOST_TEST(mentions(load(), {"state/b.h5", "step 4", "step 3"}));
  write_bytes(b, expert_bytes);
  tamper(b, [](hid_t file) { H5Ldelete(file, "adam_m", H5P_DEFAULT); });
  BOOST_TEST(mentions(load(), {"state/b.h5", "'adam_m' is missing"}));
  write_bytes(b, expert_bytes);
  tamper(b, [](hid_t file) { H5Ldelete(file, "adam_m/decoder.layers.0.fc1.bias", H5P_DEFAULT); });
  BOOST_TEST(mentions(load(), {"state/b.h5", "adam_m", "'decoder.layers.0.fc1.bias' is missing"}));
  write_bytes(b, expert_bytes);
  replace_dataset(b, "adam_v/more", {1});
  BOOST_TEST(mentions(load(), {"state/b.h5", "adam_v", "unknown 'more'"}));
  write_bytes(b, expert_bytes);
  BOOST_TEST(load() == "no error");

  auto other = state_of(loaded, loaded_m, loaded_v);
  other.slots.pop_back();
  BOOST_TEST(
      mentions(error_of([&] { checkpoint::SavedState(checkpoint::Checkpoint(path)).load(device, other); }),
               {"unknown 'adam_v'"}));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
