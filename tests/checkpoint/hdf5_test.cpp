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
  // HDF5's own reason stands at the end; its wording is the version's.
  const std::string ours =
      (folder.path / "bad.h5").string() + ": cannot be opened as an HDF5 file; it is damaged or incomplete: ";
  BOOST_TEST(message.starts_with(ours), message);
  BOOST_TEST(message.size() > ours.size());
  BOOST_TEST(!mentions(message, {"no reason"}), message);
  H5Eget_auto2(H5E_DEFAULT, &after, &data);
  BOOST_TEST((before == after));
}

// As h5py writes strings, and in the newest format that this HDF5 knows.
BOOST_AUTO_TEST_CASE(strings_of_variable_length) {
  const TemporaryFolder temporary;
  const auto path = temporary.path / "edited.h5";
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  const hid_t file = H5Fcreate(path.c_str(), H5F_ACC_EXCL, H5P_DEFAULT, access);
  H5Pclose(access);
  const char* texts[] = {"law", "", "sch\u00f6n"};
  for (const auto set : {H5T_CSET_ASCII, H5T_CSET_UTF8}) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, set);
    const std::string suffix = set == H5T_CSET_UTF8 ? "_utf8" : "_ascii";
    const hsize_t count = 3;
    const hid_t scalar = H5Screate(H5S_SCALAR), list = H5Screate_simple(1, &count, nullptr);
    for (const auto& [name, space] : {std::pair{"one", scalar}, std::pair{"list", list}}) {
      const hid_t attribute =
          H5Acreate2(file, (name + suffix).c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT);
      H5Awrite(attribute, type, texts);
      H5Aclose(attribute);
      H5Sclose(space);
    }
    H5Tclose(type);
  }
  H5Fclose(file);
  const auto read = hdf5::open_file(path);
  for (const std::string suffix : {"_ascii", "_utf8"}) {
    BOOST_TEST(hdf5::read_attribute<std::string>(read, ("one" + suffix).c_str()) == "law");
    BOOST_TEST(hdf5::read_strings(read, ("list" + suffix).c_str()) ==
                   (std::vector<std::string>{"law", "", "sch\u00f6n"}),
               boost::test_tools::per_element());
  }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace demix::test
