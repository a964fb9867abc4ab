#pragma once
// What a stream, or standard output or errors, is given while a test looks at it.

#include <unistd.h>

#include <cstdio>
#include <ostream>
#include <sstream>
#include <string>

namespace demix::test {

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Swallows a stream's output while it lives.
class Captured {
 public:
  explicit Captured(std::ostream& stream) : stream_(stream), saved_(stream.rdbuf(text_.rdbuf())) {}
  ~Captured() { stream_.rdbuf(saved_); }
  std::string text() const { return text_.str(); }

 private:
  std::ostream& stream_;
  std::ostringstream text_;
  std::streambuf* saved_;
};

/// Swallows what goes to a file descriptor of this process while it lives: also what printf writes.
class CapturedDescriptor {
 public:
  explicit CapturedDescriptor(int descriptor)
      : descriptor_(descriptor), saved_(::dup(descriptor)), file_(std::tmpfile()) {
    std::fflush(nullptr);
    ::dup2(::fileno(file_), descriptor_);
  }
  ~CapturedDescriptor() {
    std::fflush(nullptr);
    ::dup2(saved_, descriptor_);
    ::close(saved_);
    std::fclose(file_);
  }
  CapturedDescriptor(const CapturedDescriptor&) = delete;
  CapturedDescriptor& operator=(const CapturedDescriptor&) = delete;

  std::string text() const {
    std::fflush(nullptr);
    std::string text;
    char bytes[4096];
    for (ssize_t n = 0;
         (n = ::pread(::fileno(file_), bytes, sizeof bytes, static_cast<off_t>(text.size()))) > 0;)
      text.append(bytes, static_cast<std::size_t>(n));
    return text;
  }

 private:
  int descriptor_, saved_;
  std::FILE* file_;
};

}  // namespace demix::test
