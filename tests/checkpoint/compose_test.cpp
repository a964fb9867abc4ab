// Checkpoints from parts of others, without their model's type.

#include "demix/checkpoint/compose.hpp"

#include "checkpoint/compose_fixture.hpp"

using namespace demix;
using namespace demix::test;
using namespace demix::checkpoint;

BOOST_AUTO_TEST_SUITE(composing)

BOOST_FIXTURE_TEST_CASE(add_and_remove_give_back_every_file_byte_for_byte, ComposeFixture) {
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

BOOST_FIXTURE_TEST_CASE(a_renamed_expert_keeps_its_values, ComposeFixture) {
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

BOOST_FIXTURE_TEST_CASE(a_merged_expert_is_the_weighted_average_in_double, ComposeFixture) {
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

BOOST_FIXTURE_TEST_CASE(an_extracted_expert_is_a_dense_model_with_its_losses, ComposeFixture) {
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

BOOST_FIXTURE_TEST_CASE(a_checkpoint_without_state_stays_without, ComposeFixture) {
  fs::remove(state_file(base));
  fs::remove_all(state_folder(base));
  const auto before = files_of(base);
  add_experts(base, {{base, "law", "law2"}}, out("more"));
  BOOST_TEST(!fs::exists(state_file(out("more"))));
  remove_experts(out("more"), {"law2"}, out("again"));
  BOOST_TEST((files_of(out("again")) == before));
}

BOOST_FIXTURE_TEST_CASE(an_expert_that_keeps_its_name_brings_its_own_state, ComposeFixture) {
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

BOOST_FIXTURE_TEST_CASE(experts_take_the_places_of_those_of_their_names, ComposeFixture) {
  const auto before = files_of(base), other_files = files_of(variant("other", [](Experts&) {}));
  const auto other = out("other");
  replace_experts(base, {{other, "news", "news"}, {other, "novel", "code"}}, out("new"));
  BOOST_TEST((read_metadata(out("new")).domains == three));
  auto expected = before;
  std::erase_if(expected, [](const auto& file) { return file.first.starts_with("state"); });
  expected["experts/news.h5"] = other_files.at("experts/news.h5");
  auto found = files_of(out("new"));
  BOOST_TEST(found.size() == expected.size());
  BOOST_TEST((found["model.h5"] == expected["model.h5"]));
  BOOST_TEST((found["experts/news.h5"] == expected["experts/news.h5"]));
  BOOST_TEST((found["experts/law.h5"] == expected["experts/law.h5"]));
  Experts there(cpu, small_config(), {"novel"}), here(cpu, small_config(), {"code"});
  load_values(other, there);
  load_values(out("new"), here);
  BOOST_TEST(std::memcmp(there.weights().master().region(ExpertId{0}).data(),
                         here.weights().master().region(ExpertId{0}).data(),
                         here.weights().master().region(ExpertId{0}).size() * sizeof(float)) == 0);
  replace_experts(out("new"), {{base, "news", "news"}, {base, "code", "code"}}, out("back"));
  for (const auto& [name, content] : files_of(out("back"))) BOOST_TEST((content == before.at(name)), name);
  BOOST_TEST((files_of(base) == before));

  check_refused([&] { replace_experts(base, {{other, "novel", "novel"}}, out("x")); }, "'novel'");
  check_refused([&] { replace_experts(base, {{other, "nws", "news"}}, out("x")); }, "did you mean 'news'");
  check_refused(
      [&] {
        replace_experts(base, {{other, "news", "law"}, {other, "novel", "law"}}, out("x"));
      },
      "'law' is named twice");
  const auto moved = variant(
      "moved", [](Experts& changed) { changed.weights().master().region(RegionId::shared())[0] = 17; });
  check_refused(
      [&] {
        replace_experts(base, {{moved, "news", "news"}}, out("x"));
      },
      "do not have the same body");
  BOOST_TEST(!fs::exists(out("x")));
}

BOOST_FIXTURE_TEST_CASE(compose_takes_experts_in_any_order, ComposeFixture) {
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

BOOST_FIXTURE_TEST_CASE(names_and_places_that_cannot_be_are_refused, ComposeFixture) {
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
}

BOOST_AUTO_TEST_SUITE_END()
