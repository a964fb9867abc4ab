#pragma once
// A checkpoint with experts whose parts the tests put together.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/fixtures.hpp"

namespace demix::test {

inline const std::vector<std::string> three{"news", "law", "code"};

/// A checkpoint of three experts with a state, and variants of it.
struct ComposeFixture {
  TemporaryFolder folder;
  device::Cpu cpu;
  Experts model{cpu, small_config(), three, Seed{1}};
  Experts::Gradients m = model.make_gradients(), v = model.make_gradients();
  fs::path base = folder.path / "base";

  ComposeFixture() {
    fill_random_bits(model, model.weights().master(), 7);
    fill_random_bits(model, m, 8);
    auto state = state_of(model, m, v);
    checkpoint::save(base, metadata_of(model, "demix"), model, &state);
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
    checkpoint::Metadata metadata = metadata_of(other, "demix");
    metadata.vocabulary_fingerprint = fingerprint;
    checkpoint::save(out(name), metadata, other);
    return out(name);
  }
  static void fill_expert(Experts& other, ExpertId region, std::uint64_t seed) {
    for (std::size_t i = 0; i < other.weights().master().region(region).size(); ++i)
      other.weights().master().region(region)[i] =
          uniform_unit(philox(Seed{seed}, static_cast<std::uint32_t>(i), 0, 0, 0).word[0]);
  }
};

/// Every file below a folder with its content.
inline std::map<std::string, std::string> files_of(const fs::path& folder) {
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

}  // namespace demix::test
