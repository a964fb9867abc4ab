// An .idx and its .bin, the length of the .idx in two bytes before them; cut into documents and blocks.

#include "demix/data/block_dataset.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t length = std::min<std::size_t>(data[0] | data[1] << 8, size - 2);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  fuzz::write_file("train.idx", bytes.substr(0, length));
  fuzz::write_file("train.bin", bytes.substr(length));
  fuzz::read([&] {
    const demix::data::TokenFile file(fuzz::folder() / "train", 100);
    std::vector<demix::Token> tokens;
    for (std::size_t i = 0; i < file.documents(); ++i) {
      const auto [first, last] = file.document(i);
      tokens.resize(last - first);
      file.read(first, tokens);
    }
  });
  fuzz::read([&] {
    const demix::data::BlockDataset blocks(demix::data::TokenFile(fuzz::folder() / "train", 100), 7);
    std::vector<demix::Token> source(7), target(7);
    for (std::size_t i = 0; i < blocks.blocks(); ++i) blocks.fill(i, source, target);
  });
  return 0;
}
