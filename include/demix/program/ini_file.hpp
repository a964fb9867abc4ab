#pragma once
// Files of options, a `name = value` a line.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "demix/core/error.hpp"

namespace demix::program {

struct IniEntry {
  std::string name, value;
  std::string where;  // "train.ini:3"
};

namespace ini_file_detail {

inline constexpr const char* white_space = " \t\v\f\r";

inline std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(white_space);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(white_space) + 1 - first);
}

/// The text after a value begins a comment, or there is none.
inline bool is_comment(const std::string& rest) { return rest.empty() || rest[0] == '#' || rest[0] == ';'; }

/// What stands behind the `=`: to the end of the line or a # after white space, or what the quotes enclose.
inline std::string value_of(const std::string& text, const std::string& where) {
  if (!text.empty() && (text[0] == '"' || text[0] == '\'')) {
    const auto close = text.find(text[0], 1);
    if (close == std::string::npos || !is_comment(trimmed(text.substr(close + 1))))
      throw UsageError(concat(where, ": a value that begins with ", text[0],
                              " must end with the next one; use the other kind of quote around it"));
    return text.substr(1, close - 1);
  }
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '#' && (i == 0 || text[i - 1] == ' ' || text[i - 1] == '\t'))
      return trimmed(text.substr(0, i));
  return text;
}

}  // namespace ini_file_detail

/// The entries of a file in its order. Empty lines, lines that begin with # or ;, and what follows a # after
/// white space are not read; quotes around a value, "..." or '...', are not part of it and keep white space
/// and # in it. A byte order mark and CRLF are accepted. Throws UsageError, with the line, for anything else.
inline std::vector<IniEntry> read_ini_file(const std::string& option, const std::string& path) {
  namespace detail = ini_file_detail;
  constexpr std::size_t most_bytes = std::size_t{1} << 20;
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    throw UsageError(concat(option, ": '", path, "' is a folder, expected a file of 'name = value' lines"));
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UsageError(concat(option, ": cannot open '", path, "'"));
  std::string text(most_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) throw UsageError(concat(option, ": cannot read '", path, "'"));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > most_bytes || text.find('\0') != std::string::npos)
    throw UsageError(concat(option, ": '", path, "' is no text file of 'name = value' lines"));
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);

  std::vector<IniEntry> entries;
  std::size_t number = 0;
  for (std::size_t first = 0; first < text.size();) {
    const std::size_t end = std::min(text.find('\n', first), text.size());
    const std::string line = detail::trimmed(text.substr(first, end - first));
    const std::string where = concat(path, ":", ++number);
    first = end + 1;
    if (detail::is_comment(line)) continue;
    const auto equals = line.find('=');
    if (line[0] == '[')
      throw UsageError(concat(where, ": there are no sections in a file of options; leave this line out"));
    if (equals == std::string::npos || equals == 0)
      throw UsageError(concat(where, ": expected 'name = value'"));
    entries.push_back({detail::trimmed(line.substr(0, equals)),
                       detail::value_of(detail::trimmed(line.substr(equals + 1)), where), where});
  }
  return entries;
}

}  // namespace demix::program
