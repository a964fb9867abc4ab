#pragma once
// Progress on stderr: a line that renews itself on a terminal, plain lines elsewhere.

#include <unistd.h>

#include <cstdio>
#include <string>

namespace demix {

class LiveLine {
 public:
  LiveLine() = default;
  ~LiveLine() { clear(); }
  LiveLine(const LiveLine&) = delete;
  LiveLine& operator=(const LiveLine&) = delete;

  /// Whether a person is watching, so that lines may come often.
  bool terminal() const { return terminal_; }

  /// What is going on: takes the place of the line before it on a terminal, is a line of its own elsewhere.
  void show(const std::string& text) {
    clear();
    std::fprintf(stderr, "%s%s", text.c_str(), terminal_ ? "" : "\n");
    std::fflush(stderr);
    open_ = terminal_;
  }

  /// A line that stays.
  void message(const std::string& text) {
    clear();
    std::fprintf(stderr, "%s\n", text.c_str());
  }

  /// Takes the live line away.
  void clear() {
    if (open_) std::fprintf(stderr, "\r\033[K");
    open_ = false;
  }

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  bool open_ = false;
};

}  // namespace demix
