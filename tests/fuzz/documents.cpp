// A .jsonl file of documents, plain or gzip.

#include "demix/prepare/document_index.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto path = fuzz::write_file("documents.jsonl", {reinterpret_cast<const char*>(data), size});
  fuzz::read([&] {
    const demix::prepare::DocumentIndex index(
        demix::prepare::open_documents(path, "text", fuzz::folder() / "spool"), fuzz::folder() / "index", 1,
        [](std::uint64_t) {});
    for (std::uint64_t i = 0; i < index.size(); ++i) demix::prepare::count_words(index.text(i));
  });
  return 0;
}
