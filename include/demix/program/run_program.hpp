#pragma once
// What every program's main() does: its body, and what that throws as a message and an exit code.

#include <exception>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include "demix/comm/communicator.hpp"
#include "demix/core/error.hpp"
#include "demix/core/standard_streams.hpp"
#include "demix/core/stop_signal.hpp"

namespace demix::program {

/// How a program ends: its exit code, and what it says on stderr.
struct Ending {
  int code = 0;
  std::string message;
  bool rank_lost = false;  // the other ranks cannot be reached
};

/// What the body of a program returns or throws: 0 done, 1 failed, 2 wrong usage, 128 + signal when a signal
/// stopped it. What was printed and did not arrive is a failure too.
template <class Body>
Ending ending_of(std::string_view name, Body&& body) {
  try {
    prepare_standard_streams();
    const int code = body();
    if (code == 0) finish_standard_output();
    return {code, {}};
  } catch (const Stopped& stopped) {
    return {128 + stopped.signal(), {}};
  } catch (const UsageError& error) {
    return {2, concat(name, ": ", error.what(), "\n", name, ": --help shows the usage")};
  } catch (const comm::RankLost& error) {
    return {1, concat(name, ": ", error.what()), true};
  } catch (const std::bad_alloc&) {
    return {1, concat(name, ": memory ran out")};
  } catch (const std::length_error& error) {
    return {1, concat(name, ": a size is more than memory can hold (", error.what(), ")")};
  } catch (const std::exception& error) {
    return {1, concat(name, ": ", error.what())};
  }
}

/// Says what an ending has to say; its exit code.
inline int tell(const Ending& ending) {
  if (!ending.message.empty()) std::cerr << ending.message << "\n";
  return ending.code;
}

/// Runs the body of a program; its exit code.
template <class Body>
int run_program(std::string_view name, Body&& body) {
  return tell(ending_of(name, body));
}

}  // namespace demix::program
