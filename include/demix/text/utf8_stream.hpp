#pragma once
// Text that comes in pieces which end anywhere, also within a character.

#include <string>
#include <string_view>

namespace demix::text {

/// Passes on whole UTF-8 characters. U+FFFD takes the place of bytes that are none: of each longest beginning
/// of a character, as the Unicode standard recommends (chapter 3, table 3-7 has the ranges).
class Utf8Stream {
 public:
  /// The characters that `bytes` completes.
  std::string push(std::string_view bytes) {
    std::string out;
    for (const char each : bytes) {
      const auto byte = static_cast<unsigned char>(each);
      if (missing_ > 0 && (byte < low_ || byte > high_)) give_up(out);
      if (missing_ == 0) {
        begin(byte);
      } else {
        --missing_;
        low_ = 0x80;
        high_ = 0xbf;
      }
      pending_ += each;
      if (missing_ == 0) {
        out += byte >= 0x80 && pending_.size() == 1 ? replacement : pending_;
        pending_.clear();
      }
    }
    return out;
  }

  /// The end of the text: what is left of a character that was not completed.
  std::string finish() {
    std::string out;
    if (missing_ > 0) give_up(out);
    return out;
  }

 private:
  static constexpr const char* replacement = "\xef\xbf\xbd";

  void give_up(std::string& out) {
    out += replacement;
    pending_.clear();
    missing_ = 0;
  }

  /// A first byte: how many more there are, and what the next one may be.
  void begin(unsigned char byte) {
    missing_ = byte < 0xc2 || byte > 0xf4 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    low_ = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    high_ = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
  }

  std::string pending_;
  int missing_ = 0;
  unsigned char low_ = 0, high_ = 0;
};

/// `bytes` as UTF-8.
inline std::string to_utf8(std::string_view bytes) {
  Utf8Stream stream;
  std::string out = stream.push(bytes);
  return out + stream.finish();
}

}  // namespace demix::text
