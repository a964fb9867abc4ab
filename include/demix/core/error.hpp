#pragma once
// Errors. A message says what was found, what was expected and, where the user can act, what to do.

#include <sstream>
#include <stdexcept>
#include <string>

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

/// The parts, streamed one after the other into a string.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

/// Throws Error with the message made of `parts` unless `condition` holds.
template <class... Parts>
void require(bool condition, const Parts&... parts) {
  if (!condition) [[unlikely]]
    throw Error(concat(parts...));
}

}  // namespace demix
