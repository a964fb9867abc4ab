#pragma once
// The two files of a split, byte by byte.

#include <initializer_list>
#include <string>
#include <vector>

#include "data/support.hpp"
#include "demix/data/indexed_file.hpp"

namespace demix::test {

inline std::vector<Token> read_all(const data::TokenFile& file) {
  std::vector<Token> tokens(file.tokens());
  file.read(0, tokens);
  return tokens;
}

template <class T>
std::string bytes_of(std::initializer_list<T> values) {
  std::string result;
  for (const T value : values) result.append(reinterpret_cast<const char*>(&value), sizeof(T));
  return result;
}

/// An .idx written by hand.
inline std::string index_bytes(std::uint8_t code, std::initializer_list<std::int32_t> sizes,
                               std::initializer_list<std::int64_t> pointers) {
  return std::string("MMIDIDX\0\0", 9) + bytes_of<std::uint64_t>({1}) + static_cast<char>(code) +
         bytes_of<std::uint64_t>({sizes.size()}) + bytes_of(sizes) + bytes_of(pointers);
}

/// Both files of three documents, u16, written by hand.
struct HandMade : TemporaryFolder {
  std::string index = index_bytes(8, {2, 0, 3}, {0, 4, 4});
  std::string bin = bytes_of<std::uint16_t>({4, 2, 7, 5, 2});

  data::TokenFile open(std::size_t vocabulary = 8) {
    write_file(path / "x.idx", index);
    write_file(path / "x.bin", bin);
    return data::TokenFile(path / "x", vocabulary);
  }
  std::string open_error() {
    return error_of([&] { open(); });
  }
};

}  // namespace demix::test
