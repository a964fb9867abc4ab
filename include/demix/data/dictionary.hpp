#pragma once
// The vocabulary of a data-bin: dict.txt, the symbols in the order that gives their model ids.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/hash.hpp"
#include "demix/core/types.hpp"

namespace demix::data {

/// Symbols and their ids. The first four ids are reserved; the symbols of dict.txt follow in file order, the
/// padding symbols that fairseq writes ("madeupword0000 0") among them.
class Dictionary {
 public:
  /// Reads lines of "<symbol> <count>". Throws Error, with file and line, for a line of another form and for
  /// a symbol that occurs twice or is reserved.
  static Dictionary load(const std::filesystem::path& path) {
    std::ifstream in(path);
    require(in.good(), "cannot open '", path.string(), "': a data-bin holds its vocabulary in dict.txt");
    Dictionary result;
    std::size_t line_number = 0;
    for (std::string line; std::getline(in, line);) {
      ++line_number;
      const std::size_t space = line.rfind(' ');
      const bool well_formed = space != std::string::npos && space > 0 && space + 1 < line.size() &&
                               line.find_first_not_of("0123456789", space + 1) == std::string::npos;
      require(well_formed, path.string(), ":", line_number, ": expected '<symbol> <count>', found '", line,
              "'");
      line.resize(space);
      require(result.add(line), path.string(), ":", line_number, ": the symbol '", line,
              "' occurs twice or is one of the reserved ones (<s> <pad> </s> <unk>)");
    }
    require(!in.bad(), "cannot read '", path.string(), "' after line ", line_number);
    require(line_number > 0, path.string(), ": no symbols; expected lines of '<symbol> <count>'");
    return result;
  }

  /// How many ids there are, the reserved ones included: the V of a model.
  std::size_t size() const { return symbols_.size(); }

  /// The id of a symbol; unk_token for one that is not here.
  Token id(const std::string& symbol) const {
    const auto found = ids_.find(symbol);
    return found == ids_.end() ? unk_token : found->second;
  }

  /// The symbol of an id. Throws Error for an id outside [0, size()).
  const std::string& symbol(Token id) const {
    require(id >= 0 && static_cast<std::size_t>(id) < size(), "id ", id, " is outside the vocabulary of ",
            size(), " symbols");
    return symbols_[static_cast<std::size_t>(id)];
  }

  /// 16 hexadecimal digits that depend on the symbols and their order, not on their counts (FNV-1a).
  std::string fingerprint() const {
    std::uint64_t hash = fnv1a("");
    for (const auto& symbol : symbols_) hash = fnv1a("\n", fnv1a(symbol, hash));
    return hash_digits(hash);
  }

 private:
  Dictionary() {
    for (const char* reserved : {"<s>", "<pad>", "</s>", "<unk>"}) add(reserved);
  }

  bool add(const std::string& symbol) {
    const bool is_new = ids_.emplace(symbol, static_cast<Token>(symbols_.size())).second;
    if (is_new) symbols_.push_back(symbol);
    return is_new;
  }

  std::vector<std::string> symbols_;
  std::unordered_map<std::string, Token> ids_;
};

}  // namespace demix::data
