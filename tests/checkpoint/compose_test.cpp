// Checkpoints from parts of others, without their model's type.

#include "demix/checkpoint/compose.hpp"

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
  Experts::Arena m = model.make_arena(), v = model.make_arena();
  fs::path base = folder.path / "base";

  Fixture() {
    fill_random_bits(model, model.values(), 7);
    fill_random_bits(model, m, 8);
    auto state = state_of<Experts>(m, v);
    save(base, metadata_of(model, "demix"), model, &state);
  }
  fs::path out(const std::string& name) const { return folder.path / name; }

  /// Another checkpoint: the same model after change(model).
  template <class Change>
  fs::path variant(const std::string& name, Change change, std::string fingerprint = "fingerprint-1") {
    Experts other(cpu, small_config(), {"news", "novel"});
    std::copy_n(model.values().region(0).data(), model.values().region(0).size(),
                other.values().region(0).data());
    fill_expert(other, 1, 50);
    fill_expert(other, 2, 51);
    change(other);
    Metadata metadata = metadata_of(other, "demix");
    metadata.vocabulary_fingerprint = fingerprint;
    save<Experts>(out(name), metadata, other, nullptr);
    return out(name);
  }
  static void fill_expert(Experts& other, std::size_t region, std::uint64_t seed) {
    for (std::size_t i = 0; i < other.values().region(region).size(); ++i)
      other.values().region(region)[i] =
          uniform_unit(philox(Seed{seed}, static_cast<std::uint32_t>(i), 0, 0, 0).word[0]);
  }
};

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Every file below a folder with its content.
std::map<std::string, std::string> files_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[fs::relative(entry.path(), folder).string()] = bytes_of(entry.path());
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

BOOST_AUTO_TEST_SUITE(compose)

BOOST_FIXTURE_TEST_CASE(add_and_remove_give_back_every_file_byte_for_byte, Fixture) {
  const auto before = files_of(base);
  const auto other = variant("other", [](Experts&) {});
  add_experts(base, {{other, "novel", "novel"}, {other, "news", "news2"}}, out("more"));
  const auto metadata = read_metadata(out("more"));
  BOOST_TEST((metadata.domains == std::vector<std::string>{"news", "law", "code", "novel", "news2"}));
  BOOST_TEST(bytes_of(expert_file(out("more"), "novel")) == bytes_of(expert_file(other, "novel")));
  BOOST_TEST(bytes_of(expert_file(out("more"), "law")) == bytes_of(expert_file(base, "law")));

  Experts loaded(cpu, small_config(), metadata.domains);
  load_values(out("more"), loaded);
  const ExpertSource source{other, "news", "news2"};
  Experts alone(cpu, small_config(), {"whatever"});
  load_expert(source, alone, DomainId{0});
  BOOST_TEST(std::memcmp(loaded.values().region(5).data(), alone.values().region(1).data(),
                         alone.values().region(1).size() * sizeof(float)) == 0);

  remove_experts(out("more"), {"novel", "news2"}, out("again"));
  BOOST_TEST((files_of(out("again")) == before));
  BOOST_TEST((files_of(base) == before));
}

BOOST_FIXTURE_TEST_CASE(a_renamed_expert_keeps_its_values, Fixture) {
  rename_expert(base, "law", "court", out("renamed"));
  Experts loaded(cpu, small_config(), {"news", "court", "code"});
  load_values(out("renamed"), loaded);
  BOOST_TEST(differing_values(model, model.values(), loaded.values()) == 0u);
  BOOST_TEST(!fs::exists(state_file(out("renamed"))));
  rename_expert(out("renamed"), "court", "law", out("back"));
  BOOST_TEST(bytes_of(expert_file(out("back"), "law")) == bytes_of(expert_file(base, "law")));
  BOOST_TEST(bytes_of(model_file(out("back"))) == bytes_of(model_file(base)));
  check_refused([&] { rename_expert(base, "law", "code", out("x")); }, "'code' stands twice");
  check_refused([&] { rename_expert(base, "law", "../law", out("x")); }, "cannot be a file name");
  check_refused([&] { rename_expert(base, "lwa", "court", out("x")); }, "did you mean 'law'");
}

BOOST_FIXTURE_TEST_CASE(a_merged_expert_is_the_weighted_average_in_double, Fixture) {
  for (std::size_t r = 1; r <= 3; ++r) fill_expert(model, r, r);
  save<Experts>(out("plain"), metadata_of(model, "demix"), model, nullptr);
  merge_experts(out("plain"), {{"news", 1}, {"code", 3}}, "mixed", out("merged"));
  Experts loaded(cpu, small_config(), {"news", "law", "code", "mixed"});
  load_values(out("merged"), loaded);
  const auto a = loaded.values().region(1), c = loaded.values().region(3), mixed = loaded.values().region(4);
  for (const auto& p : loaded.layout().expert.parameters())
    for (std::size_t i = p.offset; i < p.offset + p.size(); ++i)
      BOOST_TEST(mixed[i] ==
                 static_cast<float>(0.25 * static_cast<double>(a[i]) + 0.75 * static_cast<double>(c[i])));
  check_refused([&] { merge_experts(base, {{"news", 1}, {"code", -3}}, "mixed", out("x")); }, "positive");
  check_refused([&] { merge_experts(base, {{"news", 1}}, "mixed", out("x")); }, "two experts");
  check_refused(
      [&] {
        merge_experts(base, {{"news", 1}, {"code", 1}}, "law", out("x"));
      },
      "'law' stands twice");
}

BOOST_FIXTURE_TEST_CASE(an_extracted_expert_is_a_dense_model_with_its_losses, Fixture) {
  Experts sane(cpu, small_config(), three, Seed{4});
  for (std::size_t r = 1; r <= 3; ++r) fill_expert(sane, r, r);
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
  check_refused(add(variant("value", [&](Experts& other) { other.values().region(0)[last.offset] += 1; })),
                last.name);
  check_refused(add(variant(
                    "vocabulary", [](Experts&) {}, "fingerprint-2")),
                "fingerprint-2");
  ModelConfig wide = small_config();
  wide.d_ffn = 16;
  Experts wider(cpu, wide, {"novel"}, Seed{1});
  save<Experts>(out("wide"), metadata_of(wider, "demix"), wider, nullptr);
  check_refused(add(out("wide")), "d-ffn=16");
  Dense dense(cpu, small_config(), {"novel"}, Seed{1});
  save<Dense>(out("dense"), metadata_of(dense, "dense"), dense, nullptr);
  check_refused(add(out("dense")), "has no experts");
  check_refused([&] { add_experts(out("dense"), {{base, "news", "n"}}, out("x")); }, "has no experts");
  BOOST_TEST(!fs::exists(out("x")));
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
    const auto whole = bytes_of(file);
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

BOOST_AUTO_TEST_SUITE_END()
