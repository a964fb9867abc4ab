#pragma once
// What every program's main() does: its body, and what that throws as a message and an exit code.

#include <exception>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string_view>

#include "demix/core/error.hpp"
#include "demix/core/standard_streams.hpp"
#include "demix/core/stop_signal.hpp"

namespace demix::program {

/// Runs the body of a program and turns what it throws into a message on stderr and an exit code:
/// 0 done, 1 failed, 2 wrong usage, 128 + signal when a signal stopped it. What was printed and did not
/// arrive is a failure too.
template <class Body>
int run_program(std::string_view name, Body&& body) {
  try {
    prepare_standard_streams();
    const int code = body();
    if (code == 0) finish_standard_output();
    return code;
  } catch (const Stopped& stopped) {
    return 128 + stopped.signal();
  } catch (const UsageError& error) {
    std::cerr << name << ": " << error.what() << "\n" << name << ": --help shows the usage\n";
    return 2;
  } catch (const std::bad_alloc&) {
    std::cerr << name << ": memory ran out\n";
    return 1;
  } catch (const std::length_error& error) {
    std::cerr << name << ": a size is more than memory can hold (" << error.what() << ")\n";
    return 1;
  } catch (const std::exception& error) {
    std::cerr << name << ": " << error.what() << "\n";
    return 1;
  }
}

}  // namespace demix::program
