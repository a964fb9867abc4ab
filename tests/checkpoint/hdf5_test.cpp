#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <limits>

#include "checkpoint/fixtures.hpp"

namespace demix::test {
namespace {

namespace hdf5 = checkpoint::hdf5;

/// What f writes to the process's stderr.
template <class F>
std::string stderr_of(const fs::path& file, F f) {
  const int saved = dup(2);
  const int replacement = creat(file.c_str(), 0600);
  dup2(replacement, 2);
  f();
  dup2(saved, 2);
  close(replacement);
  close(saved);
  return read_bytes(file);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hdf5_wrapper)

BOOST_AUTO_TEST_CASE(attributes_keep_their_values) {
  const TemporaryFolder folder;
  const auto path = folder.path / "x.h5";
  const std::uint64_t big = std::numeric_limits<std::uint64_t>::max();
  {
    const auto file = hdf5::create_file(path, 4);
    hdf5::write_attribute(file, "big", big);
    hdf5::write_attribute(file, "float", 0.1f);
    hdf5::write_attribute(file, "text", std::string("häuser"));
    hdf5::write_attribute(file, "empty", std::string());
    hdf5::write_attribute(file, "list", std::vector<std::string>{"a", "", "three"});
    BOOST_TEST(error_of([&] { hdf5::write_attribute(file, "big", big); }) != "no error");
  }
  const auto file = hdf5::open_file(path);
  BOOST_TEST(hdf5::read_attribute<std::uint64_t>(file, "big") == big);
  BOOST_TEST(hdf5::read_attribute<float>(file, "float") == 0.1f);
  BOOST_TEST(hdf5::read_attribute<std::string>(file, "text") == "häuser");
  BOOST_TEST(hdf5::read_attribute<std::string>(file, "empty") == "");
  const std::vector<std::string> list{"a", "", "three"};
  BOOST_TEST(hdf5::read_strings(file, "list") == list, boost::test_tools::per_element());

  const auto refusal = [&]<class T>(const char* name, T) {
    return error_of([&] { hdf5::read_attribute<T>(file, name); });
  };
  BOOST_TEST(mentions(refusal("absent", std::uint64_t{}), {"x.h5", "'absent'", "missing"}));
  BOOST_TEST(mentions(refusal("text", std::uint64_t{}), {"'text'", "integer"}));
  BOOST_TEST(mentions(refusal("big", 0.0f), {"'big'", "float"}));
  BOOST_TEST(mentions(refusal("big", std::string()), {"'big'", "string"}));
  BOOST_TEST(mentions(refusal("list", std::string()), {"'list'", "3 values"}));
}

BOOST_AUTO_TEST_CASE(texts_keep_their_bytes) {
  const TemporaryFolder folder;
  std::string long_text(200000, 'x');
  for (std::size_t i = 0; i < long_text.size(); ++i) long_text[i] = static_cast<char>(1 + i % 255);
  {
    const auto file = hdf5::create_file(folder.path / "x.h5", 4);
    hdf5::write_text(file, "empty", "");
    hdf5::write_text(file, "long", long_text);
    BOOST_TEST(mentions(error_of([&] { hdf5::write_text(file, "zero", std::string("a\0b", 3)); }), {"zero"}));
  }
  const auto file = hdf5::open_file(folder.path / "x.h5");
  BOOST_TEST(hdf5::read_text(file, "empty") == "");
  BOOST_TEST((hdf5::read_text(file, "long") == long_text));
}

BOOST_AUTO_TEST_CASE(members_are_sorted_and_compared) {
  const TemporaryFolder folder;
  const auto file = hdf5::create_file(folder.path / "x.h5", 4);
  for (const char* name : {"b", "a", "decoder.layers.10.fc1.weight", "decoder.layers.2.fc1.weight", "c", "d",
                           "e", "f", "g", "h"})
    hdf5::create_group(file, name, 0);
  const auto names = hdf5::members(file);
  BOOST_TEST(names.size() == 10u);
  BOOST_TEST(std::is_sorted(names.begin(), names.end()));
  auto expected = names;
  std::reverse(expected.begin(), expected.end());
  hdf5::require_members(file, expected);
  expected.push_back("z");
  BOOST_TEST(mentions(error_of([&] { hdf5::require_members(file, expected); }), {"'z' is missing"}));
  expected.erase(std::find(expected.begin(), expected.end(), "z"));
  expected.erase(std::find(expected.begin(), expected.end(), "b"));
  BOOST_TEST(mentions(error_of([&] { hdf5::require_members(file, expected); }), {"unknown 'b'"}));
}

BOOST_AUTO_TEST_CASE(failures_print_nothing_and_say_why) {
  const TemporaryFolder folder;
  write_bytes(folder.path / "bad.h5", std::string(4096, 'x'));
  H5E_auto2_t before = nullptr, after = nullptr;
  void* data = nullptr;
  H5Eget_auto2(H5E_DEFAULT, &before, &data);
  BOOST_TEST((before != nullptr));
  std::string message;
  const auto printed = stderr_of(folder.path / "stderr", [&] {
    message = error_of([&] { hdf5::open_file(folder.path / "bad.h5"); });
    error_of([&] { hdf5::open_file(folder.path / "absent.h5"); });
    error_of([&] { hdf5::create_file(folder.path / "bad.h5", 4); });
    error_of([&] { hdf5::create_file(folder.path / "no" / "folder.h5", 4); });
  });
  BOOST_TEST(printed == "");
  BOOST_TEST(mentions(message, {"bad.h5", "signature"}));
  H5Eget_auto2(H5E_DEFAULT, &after, &data);
  BOOST_TEST((before == after));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
