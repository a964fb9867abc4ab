#pragma once
// JSON as programs write it.

#include <nlohmann/json.hpp>
#include <string>

namespace demix {

/// The text of a JSON value: a line without its end, or indented. What is no UTF-8, as a file name need not
/// be, becomes U+FFFD.
template <class Json>
std::string json_text(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace demix
