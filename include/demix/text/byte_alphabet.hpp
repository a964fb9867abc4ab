#pragma once
// GPT-2's spelling of bytes as printable characters, in which its vocabulary files are written.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace demix::text {

/// Bytes that print keep their Latin-1 character; the others, in order, get U+0100, U+0101, ...
class ByteAlphabet {
 public:
  ByteAlphabet() {
    std::uint32_t next_other = 0x100;
    std::size_t printing = 0, other = printing_bytes;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const bool prints =
          (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
      spelling_[byte] = utf8(prints ? byte : next_other++);
      order_[prints ? printing++ : other++] = static_cast<unsigned char>(byte);
      bytes_.emplace(spelling_[byte], static_cast<char>(byte));
    }
  }

  /// The UTF-8 character that stands for a byte.
  const std::string& spelling(unsigned char byte) const { return spelling_[byte]; }

  /// The bytes in the order of GPT-2's ids: those that print, then the others.
  const std::array<unsigned char, 256>& order() const { return order_; }

  std::string spell(std::string_view bytes) const {
    std::string result;
    for (const char byte : bytes) result += spelling_[static_cast<unsigned char>(byte)];
    return result;
  }

  /// The bytes that a spelling stands for; characters outside the alphabet (of special symbols) stand for
  /// themselves.
  std::string unspell(std::string_view spelling) const {
    std::string result;
    for (std::size_t i = 0; i < spelling.size();) {
      std::size_t length = 1;
      while (i + length < spelling.size() &&
             (static_cast<unsigned char>(spelling[i + length]) & 0xc0) == 0x80)
        ++length;
      const std::string character(spelling.substr(i, length));
      const auto found = bytes_.find(character);
      if (found == bytes_.end())
        result += character;
      else
        result += found->second;
      i += length;
    }
    return result;
  }

 private:
  static constexpr std::size_t printing_bytes = 94 + 12 + 82;

  static std::string utf8(std::uint32_t code_point) {
    if (code_point < 0x80) return {static_cast<char>(code_point)};
    return {static_cast<char>(0xc0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3f))};
  }

  std::array<std::string, 256> spelling_;
  std::array<unsigned char, 256> order_{};
  std::unordered_map<std::string, char> bytes_;
};

}  // namespace demix::text
