#pragma once
// Numbers as users write them: a text is a number from its first character to its last, or it is none.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace demix {

/// "42" or "-7", in decimal. None for anything else, and for what T cannot hold.
template <std::integral T>
std::optional<T> parse_whole(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// "0.5", "-2", "1e-320", in decimal. None for anything else: hexadecimal, nan, inf, what a double cannot
/// hold, and what would become 0 and is not.
inline std::optional<double> parse_real(const std::string& text) {
  if (text.empty() || text.find_first_not_of("0123456789+-.eE") != std::string::npos) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size() || !std::isfinite(value)) return std::nullopt;
  const auto mantissa = text.substr(0, text.find_first_of("eE"));
  if (value == 0 && mantissa.find_first_of("123456789") != std::string::npos) return std::nullopt;
  return value;
}

/// "0.1,0.9", "0.1 0.9", "(0.1, 0.9)" or "[0.1, 0.9]". None for anything else; never an empty list.
inline std::optional<std::vector<double>> parse_reals(std::string text) {
  constexpr const char* space = " \t\n";
  const auto trim = [&](std::string& part) {
    part.erase(0, std::min(part.find_first_not_of(space), part.size()));
    part.erase(part.find_last_not_of(space) + 1);
  };
  trim(text);
  if (text.size() >= 2 &&
      ((text.front() == '[' && text.back() == ']') || (text.front() == '(' && text.back() == ')'))) {
    text = text.substr(1, text.size() - 2);
    trim(text);
  }
  std::vector<double> numbers;
  while (true) {
    const auto number = parse_real(text.substr(0, text.find_first_of(", \t\n")));
    if (!number) return std::nullopt;
    numbers.push_back(*number);
    text.erase(0, text.find_first_of(", \t\n"));
    trim(text);
    if (text.empty()) return numbers;
    if (text.front() == ',') {
      text.erase(0, 1);
      trim(text);
    }
  }
}

}  // namespace demix
