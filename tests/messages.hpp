#pragma once
// What a call throws, in words.

#include <string>

namespace demix::test {

/// The message of the E that the call throws; empty when it throws none.
template <class E, class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

}  // namespace demix::test
