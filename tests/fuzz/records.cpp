// What a run reads back of its own: metrics.jsonl and adapt.json.

#include "demix/adapt/record.hpp"
#include "demix/train/metrics.hpp"
#include "support.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto metrics = fuzz::write_file("metrics.jsonl", text), record = fuzz::write_file("adapt.json", text);
  fuzz::read([&] { demix::train::MetricsLog(metrics, 7).write({{"type", "train"}, {"step", 8}}); });
  fuzz::read([&] { demix::adapt::read_record(record); });
  return 0;
}
