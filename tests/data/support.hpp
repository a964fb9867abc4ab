#pragma once
// What the tests of data/ share: temporary folders, whole files, expected messages.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/types.hpp"
#include "demix/data/indexed_file_writer.hpp"
#include "temporary_folder.hpp"

namespace demix::test {

namespace fs = std::filesystem;

inline fs::path write_file(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

inline std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  BOOST_REQUIRE_MESSAGE(in.good(), "cannot open " << path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The paths of all files below a folder, sorted, relative to it.
inline std::vector<std::string> files_under(const fs::path& folder) {
  std::vector<std::string> result;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) result.push_back(fs::relative(entry.path(), folder).string());
  std::sort(result.begin(), result.end());
  return result;
}

/// Runs f and returns the message of the Error that it must throw.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  BOOST_FAIL("no Error was thrown");
  return {};
}

/// Checks that a text has all of some parts.
inline void check_mentions(const std::string& text, const std::vector<std::string>& parts) {
  for (const auto& part : parts)
    BOOST_CHECK_MESSAGE(text.find(part) != std::string::npos,
                        "expected '" << part << "' in the message: " << text);
}

using Documents = std::vector<std::vector<Token>>;

inline void write_documents(const fs::path& prefix, const Documents& documents, std::size_t vocabulary_size) {
  data::TokenFileWriter writer(prefix, vocabulary_size);
  for (const auto& document : documents) writer.add(document);
  writer.finish();
}

/// Of any ids but padding, which no text holds.
inline Documents random_documents(std::size_t count, std::size_t longest, Token vocabulary, unsigned seed) {
  std::mt19937 random(seed);
  Documents documents(count);
  for (auto& document : documents) {
    document.resize(random() % (longest + 1));
    for (auto& token : document) {
      token = static_cast<Token>(random() % static_cast<unsigned>(vocabulary));
      if (token == pad_token) token = eos_token;
    }
  }
  return documents;
}

}  // namespace demix::test
