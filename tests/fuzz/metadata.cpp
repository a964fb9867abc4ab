// The attributes of a checkpoint's model.h5: of any type, any value, or absent.

#include "demix/checkpoint/metadata.hpp"

#include "support.hpp"

namespace {

namespace hdf5 = demix::checkpoint::hdf5;

constexpr const char* names[] = {"format_version",    "demix_version", "experiment",
                                 "domains",           "experts",       "vocabulary_fingerprint",
                                 "dictionary_size",   "step",          "layers",
                                 "d_model",           "heads",         "d_ffn",
                                 "tokens_per_sample", "activation",    "positions",
                                 "tied_embeddings",   "dropout"};

demix::checkpoint::Metadata sound() {
  demix::checkpoint::Metadata metadata;
  metadata.experiment = "dense";
  metadata.config = demix::architecture("transformer_lm");
  metadata.config.vocabulary = 100;
  metadata.domains = {"law", "code"};
  metadata.vocabulary_fingerprint = "0123456789abcdef";
  return metadata;
}

/// Each "NAME KIND BYTES" of the input replaces an attribute.
void write_model(const std::filesystem::path& path, const std::vector<std::string>& changes) {
  const auto file = hdf5::create_file(path, 0);
  demix::checkpoint::metadata_detail::write(file, sound(), 0);
  for (const std::string& change : changes) {
    if (change.size() < 2) continue;
    const char* name = names[static_cast<unsigned char>(change[0]) % std::size(names)];
    if (H5Aexists(file.id(), name) > 0) H5Adelete(file.id(), name);
    const std::string bytes = change.substr(2);
    std::uint64_t number = 0;
    std::memcpy(&number, bytes.data(), std::min(bytes.size(), sizeof number));
    float real = 0;
    std::memcpy(&real, bytes.data(), std::min(bytes.size(), sizeof real));
    switch (change[1] % 5) {
      case 0:
        hdf5::write_attribute(file, name, number);
        break;
      case 1:
        hdf5::write_attribute(file, name, real);
        break;
      case 2:
        hdf5::write_attribute(file, name, bytes);
        break;
      case 3:
        hdf5::write_attribute(file, name, std::vector<std::string>{bytes, bytes.substr(bytes.size() / 2)});
        break;
      default:
        break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto path = demix::checkpoint::model_file(fuzz::folder());
  std::filesystem::remove(path);
  write_model(path, fuzz::parts(data, size, 8));
  fuzz::read([] { demix::checkpoint::read_metadata(fuzz::folder()); });
  return 0;
}
