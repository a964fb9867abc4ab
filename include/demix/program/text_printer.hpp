#pragma once
// Texts on stdout as they grow, and the posterior over experts as bars of letters.

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"
#include "demix/core/standard_streams.hpp"
#include "demix/text/utf8_stream.hpp"

namespace demix::program {

/// Bytes with what does not print written out: control characters (also U+0080 to U+009F, which some
/// terminals obey) but those in `kept`, and every byte above 0x7f where the bytes are no UTF-8.
inline std::string escaped(const std::string& bytes, std::string_view kept = "") {
  const bool utf8 = text::to_utf8(bytes) == bytes;
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = [&](std::size_t j) {
      return j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0u;
    };
    const bool c1 = byte(i) == 0xc2 && byte(i + 1) >= 0x80 && byte(i + 1) < 0xa0;
    char code[8] = {bytes[i], '\0'};
    if (kept.find(bytes[i]) != std::string_view::npos) {
    } else if (bytes[i] == '\n' || bytes[i] == '\t') {
      std::snprintf(code, sizeof code, "\\%c", bytes[i] == '\n' ? 'n' : 't');
    } else if (utf8 && c1) {
      std::snprintf(code, sizeof code, "\\u00%02x", byte(++i));
    } else if (byte(i) < 0x20 || byte(i) == 0x7f || (byte(i) >= 0x80 && !utf8)) {
      std::snprintf(code, sizeof code, "\\x%02x", byte(i));
    }
    text += code;
  }
  return text;
}

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
      const auto end = std::min(columns, static_cast<std::size_t>(std::llround(sum * columns)));
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
/// their turn comes. Several have a heading each. On a terminal the prompt is bold, and control characters
/// but line ends and tabs are written out (\x1b), since they would steer it; elsewhere every byte stays.
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
      text.whole = bold(shown(text.characters.push(starts[i].prompt)));
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
    std::string characters = shown(text.characters.push(bytes));
    if (last) characters += shown(text.characters.finish());
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
    text::Utf8Stream characters;
    bool finished = false, has_prompt = false;  // a line of the prompt was the last
  };

  std::string bold(const std::string& text) const {
    return terminal_ && !text.empty() ? "\033[1m" + text + "\033[0m" : text;
  }

  std::string shown(const std::string& characters) const {
    return terminal_ ? escaped(characters, "\n\t") : characters;
  }

  /// A token in quotes, in a column of its own; what does not print is escaped.
  static std::string quoted(const std::string& bytes) {
    const std::string text = concat("\"", escaped(bytes), "\"");
    const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };
    const auto width =
        text.size() - static_cast<std::size_t>(std::count_if(text.begin(), text.end(), continues));
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
    flush_standard_output();
  }

  const bool terminal_ = ::isatty(STDOUT_FILENO) == 1;
  const PosteriorBar* bar_;
  std::vector<Text> texts_;
  std::size_t turn_ = 0;
};

}  // namespace demix::program
