#pragma once
// What the hosts of the ranks decide together: small numbers and texts, never on the way of an update.

#include <array>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "demix/comm/communicator.hpp"
#include "demix/core/error.hpp"
#include "demix/core/stop_signal.hpp"
#include "demix/device/array.hpp"

namespace demix::comm {

/// Keeps ranks on one way: what one of them meets, a failure or a signal, is known to all of them at the same
/// place. All is collective and waits for the device; for one rank it is nothing. What a rank throws anywhere
/// else, while others wait for it, its program has to turn into Communicator::abort.
template <device::Device D, Communicator Comm>
class Agreement {
 public:
  /// Both must outlive this.
  Agreement(D& device, Comm& comm) : device_(device), comm_(comm), there_(device) {}
  Agreement(const Agreement&) = delete;
  Agreement& operator=(const Agreement&) = delete;

  bool is_alone() const { return comm_.size() == 1; }
  /// Whether this is rank 0, to which everything belongs that is there once.
  bool is_first() const { return comm_.rank() == 0; }

  /// Numbers of the host become their sums over the ranks. `patience` says what others may be busy with until
  /// they come here.
  void sum(std::span<double> numbers, Patience patience = Patience::update) {
    if (is_alone()) return;
    there_.reserve(numbers.size());
    const std::span<double> there(there_.data(), numbers.size());
    device_.copy_to_device(there.data(), numbers.data(), numbers.size());
    comm_.all_reduce(there);
    comm_.wait(patience);
    device_.copy_to_host(numbers.data(), there.data(), numbers.size());
  }

  /// The texts of all ranks, in their order.
  std::vector<std::string> gather(const std::string& text) {
    if (is_alone()) return {text};
    const auto size = static_cast<std::size_t>(comm_.size()), rank = static_cast<std::size_t>(comm_.rank());
    std::vector<double> lengths(size, 0.0);
    lengths[rank] = static_cast<double>(text.size());
    sum(lengths, Patience::files);
    std::vector<std::size_t> first{0};
    for (const double length : lengths) first.push_back(first.back() + static_cast<std::size_t>(length));
    std::vector<double> bytes(first.back(), 0.0);
    for (std::size_t i = 0; i < text.size(); ++i)
      bytes[first[rank] + i] = static_cast<unsigned char>(text[i]);
    if (!bytes.empty()) sum(bytes);
    std::vector<std::string> texts(size);
    for (std::size_t r = 0; r < size; ++r)
      for (std::size_t i = first[r]; i < first[r + 1]; ++i)
        texts[r] += static_cast<char>(static_cast<unsigned char>(bytes[i]));
    return texts;
  }
  /// The text of rank 0.
  std::string from_first(const std::string& text) { return gather(is_first() ? text : "").front(); }

  /// Whether any rank is busy still. When one or more come with a problem, all ranks throw: these what they
  /// have, the others Error with the message of the lowest rank that failed, or Stopped when none failed; a
  /// failure elsewhere goes before a signal here.
  bool meet(const std::exception_ptr& problem, bool busy = false, Patience patience = Patience::update) {
    if (is_alone()) {
      if (problem) std::rethrow_exception(problem);
      return busy;
    }
    const auto [stopped, message] = describe(problem);
    std::array<double, 3> counts{problem && stopped ? 1.0 : 0.0, problem && !stopped ? 1.0 : 0.0,
                                 busy ? 1.0 : 0.0};
    sum(counts, patience);
    if (counts[0] + counts[1] > 0) leave(problem, stopped, message, counts[1] > 0);
    return counts[2] > 0;
  }

  /// f(), which may read and write files, on every rank. Throws like meet unless it succeeded on all.
  template <class F>
  std::invoke_result_t<F&> together(F f) {
    using Result = std::invoke_result_t<F&>;
    if (is_alone()) return f();
    std::exception_ptr problem;
    std::conditional_t<std::is_void_v<Result>, std::optional<bool>, std::optional<Result>> result;
    try {
      if constexpr (std::is_void_v<Result>)
        f();
      else
        result.emplace(f());
    } catch (...) {
      problem = std::current_exception();
    }
    meet(problem, false, Patience::files);
    if constexpr (!std::is_void_v<Result>) return std::move(*result);
  }

  /// The text that f() returns on rank 0, where alone it is called. Throws like together.
  template <class F>
  std::string said_by_first(F f) {
    return from_first(together([&] { return is_first() ? std::string(f()) : std::string(); }));
  }

  /// job(turn) on every rank, which calls turn() before each of its steps: that calls poll(), and meets the
  /// other ranks. Those that have fewer steps go on polling until all are done. Throws like meet, at the same
  /// turn on all ranks.
  template <class Job, class Poll>
  void in_turns(const Poll& poll, const Job& job) {
    if (is_alone()) return job(poll);
    std::exception_ptr problem;
    bool left = false;  // together with the others
    const auto meet_others = [&](const std::exception_ptr& here, bool busy) {
      left = true;
      const bool go_on = meet(here, busy);
      left = false;
      return go_on;
    };
    try {
      job([&] { meet_others(problem_of(poll), true); });
    } catch (...) {
      if (left) throw;
      problem = std::current_exception();
    }
    do {
      if (!problem) problem = problem_of(poll);
    } while (meet_others(problem, false));
  }

 private:
  /// What f throws.
  template <class F>
  static std::exception_ptr problem_of(const F& f) {
    try {
      f();
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  }

  struct Description {
    bool stopped = false;
    std::string message;  // or the signal's number
  };
  static Description describe(const std::exception_ptr& problem) {
    if (!problem) return {};
    try {
      std::rethrow_exception(problem);
    } catch (const Stopped& stopped) {
      return {true, std::to_string(stopped.signal())};
    } catch (const std::exception& error) {
      return {false, error.what()};
    } catch (...) {
      return {false, "an unknown failure"};
    }
  }

  [[noreturn]] void leave(const std::exception_ptr& problem, bool stopped, const std::string& message,
                          bool any_failed) {
    const bool speaks = problem && stopped != any_failed;  // a failure comes before a signal
    const auto texts = gather(speaks ? concat(any_failed ? "f" : "s", message) : "");
    if (speaks) std::rethrow_exception(problem);
    std::size_t rank = 0;
    while (texts[rank].empty()) ++rank;
    if (!any_failed) throw Stopped(std::stoi(texts[rank].substr(1)));
    throw Error(concat("rank ", rank, ": ", texts[rank].substr(1)));
  }

  D& device_;
  Comm& comm_;
  device::Array<D, double> there_;
};

}  // namespace demix::comm
