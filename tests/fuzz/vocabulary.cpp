// dict.txt, the merges of a BPE, the ids of its symbols (or a tokenizer.json), and text that they encode. An
// empty part stands for a sound file.

#include "demix/text/vocabulary.hpp"

#include <nlohmann/json.hpp>

#include "demix/text/tokenizer_json.hpp"
#include "support.hpp"

namespace {

constexpr const char* sound_merges = "#version: 0.2\nt h\nth e\n";

/// The 256 bytes and the results of sound_merges.
std::string sound_symbols() {
  nlohmann::json symbols;
  const demix::text::ByteAlphabet alphabet;
  for (unsigned byte = 0; byte < 256; ++byte)
    symbols[alphabet.spelling(static_cast<unsigned char>(byte))] = byte;
  symbols["th"] = 256;
  symbols["the"] = 257;
  return symbols.dump();
}

std::string sound_dictionary() {
  std::string lines;
  for (unsigned id = 0; id < 258; ++id) lines += demix::concat(id, " 1\n");
  return lines;
}

std::string or_else(const std::string& given, const std::string& sound) {
  return given.empty() ? sound : given;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string symbols = sound_symbols(), dictionary = sound_dictionary();
  const auto input = fuzz::parts(data, size, 4);
  fuzz::read([&] { demix::text::read_tokenizer_json(fuzz::write_file("tokenizer.json", input[2])); });
  fuzz::read([&] {
    const demix::text::Vocabulary vocabulary({fuzz::write_file("encoder.json", or_else(input[2], symbols)),
                                              fuzz::write_file("vocab.bpe", or_else(input[1], sound_merges)),
                                              fuzz::write_file("dict.txt", or_else(input[0], dictionary))});
    std::vector<demix::Token> tokens;
    demix::text::TextEncoder(vocabulary).encode(input[3], tokens);
    const bool known = std::find(tokens.begin(), tokens.end(), demix::unk_token) == tokens.end();
    if (input[0].empty() && input[1].empty() && input[2].empty() &&
        (!known || vocabulary.decode(tokens) != input[3]))
      __builtin_trap();  // a sound vocabulary gives every text back
  });
  return 0;
}
