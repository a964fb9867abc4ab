#pragma once
// Texts on stdout as they grow, and the posterior over experts as bars of letters.

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/eval/utf8_stream.hpp"

/// A distribution over named experts in a line: "law  0.62  llllllllllllllllcccccnnnn", a letter per share.
class PosteriorBar {
 public:
  explicit PosteriorBar(std::vector<std::string> experts) : experts_(std::move(experts)) {
    const std::string others = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    for (const std::string& expert : experts_) {
      const std::string wanted = expert + others;
      const auto free = std::find_if(wanted.begin(), wanted.end(), [&](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) && letters_.find(c) == std::string::npos;
      });
      letters_ += free == wanted.end() ? '?' : *free;
      width_ = std::max(width_, expert.size());
    }
  }

  /// Which letter is which expert.
  std::string legend() const {
    std::string text;
    for (std::size_t j = 0; j < experts_.size(); ++j)
      text += demix::concat(j ? "  " : "", letters_[j], " ", experts_[j]);
    return text;
  }

  /// The most probable expert, its probability, and everyone's share of the bar.
  std::string line(const std::vector<double>& posterior) const {
    const auto best =
        static_cast<std::size_t>(std::max_element(posterior.begin(), posterior.end()) - posterior.begin());
    char number[16];
    std::snprintf(number, sizeof number, "%5.3f", posterior[best]);
    std::string text = experts_[best];
    text.resize(width_, ' ');
    text += demix::concat("  ", number, "  ");
    double sum = 0;
    std::size_t drawn = 0;
    for (std::size_t j = 0; j < posterior.size(); ++j) {
      sum += posterior[j];
      const auto end = std::min(columns, static_cast<std::size_t>(sum * columns + 0.5));
      text.append(end - drawn, letters_[j]);
      drawn = end;
    }
    return text;
  }

 private:
  static constexpr std::size_t columns = 50;
  std::vector<std::string> experts_;
  std::string letters_;
  std::size_t width_ = 0;
};

/// Prints texts one after the other, in their order: the one whose turn it is as it grows, the others when
/// their turn comes. Several have a heading each. On a terminal the prompt is bold.
class TextPrinter {
 public:
  /// What stands above a text, if there are several, and what it begins with. With a bar, a text is a line
  /// per token, and then the whole of it.
  struct Start {
    std::string heading, prompt;
  };
  TextPrinter(const std::vector<Start>& starts, const PosteriorBar* bar) : bar_(bar), texts_(starts.size()) {
    for (std::size_t i = 0; i < starts.size(); ++i) {
      Text& text = texts_[i];
      if (starts.size() > 1) text.waiting = demix::concat(i ? "\n" : "", "=== ", starts[i].heading, " ===\n");
      text.whole = bold(text.characters.push(starts[i].prompt));
      text.waiting += bar_ ? bar_->legend() + "\n" : text.whole;
    }
    write();
  }

  /// A token of the prompt of text i, in the order of reading, and the posterior of before it.
  void add_to_prompt(std::size_t i, const std::string& bytes, const std::vector<double>& posterior) {
    if (!bar_) return;
    texts_[i].waiting += quoted(bytes) + bar_->line(posterior) + "\n";
    texts_[i].has_prompt = true;
    write();
  }

  /// The next token of text i, as bytes that need not be whole characters, drawn under `posterior`.
  void add(std::size_t i, const std::string& bytes, const std::vector<double>& posterior, bool last) {
    Text& text = texts_[i];
    std::string characters = text.characters.push(bytes);
    if (last) characters += text.characters.finish();
    text.whole += characters;
    if (std::exchange(text.has_prompt, false)) text.waiting += "--- the prompt ends here\n";
    text.waiting += bar_ ? quoted(bytes.empty() ? "</s>" : bytes) + bar_->line(posterior) + "\n" : characters;
    if (last) {
      if (!text.whole.ends_with('\n')) text.whole += "\n", text.waiting += bar_ ? "" : "\n";
      if (bar_) text.waiting += "\n" + text.whole;
    }
    text.finished = last;
    write();
  }

 private:
  struct Text {
    std::string waiting, whole;  // not printed yet; prompt and all tokens
    demix::eval::Utf8Stream characters;
    bool finished = false, has_prompt = false;  // a line of the prompt was the last
  };

  std::string bold(const std::string& text) const {
    return terminal_ && !text.empty() ? "\033[1m" + text + "\033[0m" : text;
  }

  /// A token in quotes, in a column of its own; what does not print is escaped.
  static std::string quoted(const std::string& bytes) {
    const bool whole = demix::eval::to_utf8(bytes) == bytes;
    std::string text = "\"";
    std::size_t width = 2;
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      char escaped[8] = {c, '\0'};
      if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !whole))
        std::snprintf(escaped, sizeof escaped, c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\x%02x", byte);
      text += escaped;
      width += (byte & 0xc0) == 0x80 && whole ? 0 : std::char_traits<char>::length(escaped);
    }
    text += "\"";
    return text + std::string(width < 18 ? 18 - width : 1, ' ');
  }

  /// Prints what is there of the text whose turn it is, and of those behind it.
  void write() {
    for (; turn_ < texts_.size(); ++turn_) {
      Text& text = texts_[turn_];
      std::fwrite(text.waiting.data(), 1, text.waiting.size(), stdout);
      text.waiting.clear();
      if (!text.finished) break;
    }
    demix::require(std::fflush(stdout) == 0, "cannot write to the standard output");
  }

  const bool terminal_ = ::isatty(STDOUT_FILENO) == 1;
  const PosteriorBar* bar_;
  std::vector<Text> texts_;
  std::size_t turn_ = 0;
};
