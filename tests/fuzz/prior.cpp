// A prior over two experts, as numbers and as a file.

#include "demix/eval/prior.hpp"

#include "support.hpp"

namespace {

void require_prior(const std::string& text) {
  fuzz::read([&] {
    const auto prior =
        demix::eval::read_prior("--prior", text, demix::eval::PosteriorOver::prefix, {"law", "code"});
    const bool sound =
        prior.size() == 2 && prior[0] >= 0 && prior[1] >= 0 && std::abs(prior[0] + prior[1] - 1) < 1e-12;
    if (!sound) __builtin_trap();
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  require_prior(text.substr(0, text.find('\0')));
  require_prior(fuzz::write_file("prior.jsonl", text).string());
  return 0;
}
