#pragma once
// Errors. A message says what was found, what was expected and, where the user can act, what to do.

#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace demix {

/// Something failed while running: a bad file, a wrong shape, a full disk. Programs exit with 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller asked for something that makes no sense: an unknown or contradictory option. Programs exit
/// with 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

namespace error_detail {

template <class Part>
concept HasString = std::is_same_v<decltype(std::declval<const Part&>().string()), std::string>;
template <class Part>
concept HasMessage = std::is_same_v<decltype(std::declval<const Part&>().message()), std::string>;

/// Adds a number as streams write it: a real one with six significant digits.
template <class Number>
void append_number(std::string& text, Number number) {
  char digits[32];
  char* const end = digits + sizeof digits;
  if constexpr (std::is_floating_point_v<Number>)
    text.append(digits, std::to_chars(digits, end, number, std::chars_format::general, 6).ptr);
  else
    text.append(digits, std::to_chars(digits, end, number).ptr);
}

/// Adds one part of a message.
template <class Part>
void append(std::string& text, const Part& part) {
  if constexpr (std::is_invocable_v<const Part&>)
    append(text, part());
  else if constexpr (HasString<Part>)
    text += part.string();
  else if constexpr (HasMessage<Part>)
    text += part.message();
  else if constexpr (std::is_same_v<Part, char>)
    text += part;
  else if constexpr (std::is_arithmetic_v<Part>)
    append_number(text, +part);  // a bool is 0 or 1
  else
    text += std::string_view(part);
}

/// Whether to have this argument costs nothing: it is there anyway, or owns nothing.
template <class Part>
constexpr bool is_free = std::is_lvalue_reference_v<Part> || std::is_trivially_destructible_v<Part>;

}  // namespace error_detail

/// The parts, written one after the other: text and characters as they are; a number as streams write it;
/// a path, or whatever else has a string(), as that says, without quotes; an error code in words; what a part
/// that can be called without arguments returns.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::string text;
  (error_detail::append(text, parts), ...);
  return text;
}

/// Throws Error with the message concat(parts...) unless `condition` holds. A check that holds costs its
/// condition alone and allocates nothing: a part becomes text only in the message. So name what is there
/// (`path`, not `path.string()`), and put what must be computed first into a lambda, which is called for the
/// message only:
///
///     require(here == there, path, ": is of ", [&] { return describe(there); });
///
/// A temporary that owns memory, such as a std::string, does not compile.
template <class... Parts>
void require(bool condition, Parts&&... parts) {
  static_assert((error_detail::is_free<Parts> && ...),
                "this part of the message would be made at every check that holds: pass the object itself (a "
                "path, an error code), or a lambda that returns the text");
  if (!condition) [[unlikely]]
    throw Error(concat(parts...));
}

}  // namespace demix
