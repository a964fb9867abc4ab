#pragma once
// The vocabulary of a data-bin: dict.txt, the symbols in the order that gives their model ids.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/hash.hpp"
#include "demix/core/types.hpp"

namespace demix::text {

/// Symbols and their ids. The first four ids are reserved; the symbols of dict.txt follow in file order, the
/// padding symbols that fairseq writes ("madeupword0000 0") among them.
class Dictionary {
 public:
  /// Reads lines of "<symbol> <count>" as fairseq's own loader does: what follows the count may be white
  /// space (so also the end of a Windows line) and the flag #fairseq:overwrite, which gives a symbol that is
  /// there already a further id. Throws Error, with file and line, for a line of another form and for a
  /// symbol that occurs twice or is reserved, without that flag.
  static Dictionary load(const std::filesystem::path& path) {
    std::ifstream in(path);
    require(in.good(), "cannot open '", path, "': a data-bin holds its vocabulary in dict.txt");
    Dictionary result;
    std::size_t line_number = 0;
    for (std::string line; std::getline(in, line);) {
      if (++line_number == 1 && line.starts_with(byte_order_mark)) line.erase(0, byte_order_mark.size());
      const auto entry = parse(line);
      require(entry.has_value(), path, ":", line_number, ": expected '<symbol> <count>', found '", line, "'");
      require(result.add(entry->symbol, entry->overwrites), path, ":", line_number, ": the symbol '",
              entry->symbol, "' occurs twice or is one of the reserved ones (<s> <pad> </s> <unk>)");
    }
    require(!in.bad(), "cannot read '", path, "' after line ", line_number);
    require(line_number > 0, path, ": no symbols; expected lines of '<symbol> <count>'");
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
    for (const char* reserved : {"<s>", "<pad>", "</s>", "<unk>"}) add(reserved, false);
  }

  struct Entry {
    std::string symbol;
    bool overwrites;
  };
  static constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

  static std::optional<Entry> parse(std::string_view line) {
    const auto take_last = [&line] {
      const std::size_t space = line.rfind(' ');
      if (space == std::string_view::npos) return std::string_view();
      const auto field = line.substr(space + 1);
      line = line.substr(0, space);
      return field;
    };
    line = line.substr(0, line.find_last_not_of(" \t\n\v\f\r") + 1);
    auto count = take_last();
    const bool overwrites = count == "#fairseq:overwrite";
    if (overwrites) count = take_last();
    if (count.starts_with('-') || count.starts_with('+')) count.remove_prefix(1);
    const bool is_number = !count.empty() && count.find_first_not_of("0123456789") == std::string_view::npos;
    if (!is_number || line.empty()) return std::nullopt;
    return Entry{std::string(line), overwrites};
  }

  /// Returns false for a symbol that is there already, unless it is overwritten.
  bool add(const std::string& symbol, bool overwrites) {
    const auto [at, is_new] = ids_.try_emplace(symbol);
    if (!is_new && !overwrites) return false;
    at->second = static_cast<Token>(symbols_.size());
    symbols_.push_back(symbol);
    return true;
  }

  std::vector<std::string> symbols_;
  std::unordered_map<std::string, Token> ids_;
};

}  // namespace demix::text
