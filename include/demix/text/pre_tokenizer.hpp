#pragma once
// GPT-2's pre-tokenization: text into pieces that BPE never merges across.

#ifndef PCRE2_CODE_UNIT_WIDTH
#define PCRE2_CODE_UNIT_WIDTH 8
#endif
#include <pcre2.h>

#include <memory>
#include <string>
#include <string_view>

#include "demix/core/error.hpp"

namespace demix::text {

/// Splits UTF-8 text as the pattern of Radford et al. 2019 does in Python's `regex` module. Bytes that are
/// not UTF-8 form pieces of their own, each a maximal run, so the pieces joined are always the text. One
/// object serves one thread.
class PreTokenizer {
 public:
  /// Throws Error when PCRE2 cannot compile the pattern to machine code on this processor.
  PreTokenizer() {
    // What Python's `regex` means by \s: PCRE2's own \s also takes U+180E.
    const std::string space =
        R"(\x09-\x0d\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
    const std::string pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{L}\p{N})" + space +
                                "]+|[" + space + "]+(?![^" + space + "])|[" + space + "]+";
    int error = 0;
    PCRE2_SIZE position = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF, &error, &position, nullptr));
    require(code_ != nullptr, "PCRE2 rejects the pre-tokenizer's pattern at ", position, ": error ", error,
            "; version 10.34 or later is needed");
    error = pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
    require(error == 0, "PCRE2 cannot compile to machine code here (error ", error,
            "); demix needs its just-in-time compiler");
    match_.reset(pcre2_match_data_create(1, nullptr));
    require(match_ != nullptr, "out of memory");
  }

  /// Calls f(std::string_view piece) for the pieces of `text` in order. Throws Error.
  template <class F>
  void split(std::string_view text, F&& f) {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const PCRE2_SIZE* found = pcre2_get_ovector_pointer(match_.get());
    std::size_t position = 0;
    while (position < text.size()) {
      const int result =
          pcre2_jit_match(code_.get(), subject, text.size(), position, 0, match_.get(), nullptr);
      require(result > 0 || result == PCRE2_ERROR_NOMATCH, "PCRE2 failed at byte ", position,
              " of a document: error ", result);
      const std::size_t first = result > 0 ? found[0] : text.size();
      if (first > position) f(text.substr(position, first - position));  // bytes that are not UTF-8
      if (result < 0) return;
      f(text.substr(first, found[1] - first));
      position = found[1];
    }
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  };

  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> match_;
};

}  // namespace demix::text
