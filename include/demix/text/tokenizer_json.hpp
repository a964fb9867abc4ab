#pragma once
// Hugging Face's tokenizer.json: a byte-level BPE in one file.

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "demix/core/error.hpp"

namespace demix::text {

/// Whether a parsed file is a tokenizer.json, not the encoder.json that is one part of it.
inline bool is_tokenizer_json(const nlohmann::json& json) {
  return json.is_object() && json.contains("model") && json["model"].is_object();
}

/// Whether a file is a tokenizer.json; false for one that cannot be read.
inline bool is_tokenizer_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  return is_tokenizer_json(nlohmann::json::parse(in, nullptr, false));
}

/// What demix takes from a tokenizer.json.
struct TokenizerJson {
  nlohmann::json vocab;  // symbols and their ids, as in encoder.json
  std::vector<std::pair<std::string, std::string>> merges;
  std::vector<std::string> ignored;  // what the file asks for beyond GPT-2's BPE, so that tokens may differ
};

namespace tokenizer_json_detail {

inline std::pair<std::string, std::string> read_merge(const nlohmann::json& merge, const std::string& where) {
  std::vector<std::string> parts;
  if (merge.is_string()) {
    const auto& text = merge.get_ref<const std::string&>();
    const auto space = text.find(' ');
    parts.push_back(text.substr(0, space));
    if (space != std::string::npos) parts.push_back(text.substr(space + 1));
  } else if (merge.is_array()) {
    for (const auto& part : merge) parts.push_back(part.is_string() ? part.get<std::string>() : "");
  }
  const auto is_symbol = [](const std::string& part) {
    return !part.empty() && part.find_first_of(" \t\r\n") == std::string::npos;
  };
  require(parts.size() == 2 && is_symbol(parts[0]) && is_symbol(parts[1]), where,
          ": expected two symbols, as \"a b\" or [\"a\", \"b\"]");
  return {parts[0], parts[1]};
}

inline bool cuts_like_gpt2(const nlohmann::json& pre_tokenizer) {
  return pre_tokenizer.is_object() && pre_tokenizer.value("type", "") == "ByteLevel" &&
         pre_tokenizer.value("use_regex", true) && !pre_tokenizer.value("add_prefix_space", true);
}

inline TokenizerJson read(const nlohmann::json& json, const std::string& name) {
  require(is_tokenizer_json(json), name, ": not a tokenizer.json, which is a JSON object with a 'model'");
  const auto& model = json["model"];
  const auto type = model.value("type", "BPE");
  require(type == "BPE", name, ": a tokenizer of type ", type, ", expected BPE (byte-level)");
  for (const char* suffix : {"continuing_subword_prefix", "end_of_word_suffix"})
    require(!model.contains(suffix) || model[suffix].is_null() || model[suffix] == nlohmann::json(""), name,
            ": it has a ", suffix, ": not a byte-level BPE");
  require(!model.value("byte_fallback", false), name, ": it has byte_fallback: not a byte-level BPE");
  const auto vocab = model.find("vocab"), merges = model.find("merges");
  require(vocab != model.end() && vocab->is_object() && merges != model.end() && merges->is_array(), name,
          ": its model has no 'vocab' (an object) and 'merges' (an array)");
  TokenizerJson result{*vocab, {}, {}};
  for (const auto& merge : *merges)
    result.merges.push_back(read_merge(merge, concat(name, ": merge ", result.merges.size() + 1)));
  const auto given = [&](const char* key) { return json.contains(key) && !json[key].is_null(); };
  if (given("normalizer")) result.ignored.emplace_back("its normalizer");
  if (given("pre_tokenizer") && !cuts_like_gpt2(json["pre_tokenizer"]))
    result.ignored.emplace_back("its pre_tokenizer, which is not GPT-2's");
  if (model.value("ignore_merges", false)) result.ignored.emplace_back("ignore_merges");
  return result;
}

}  // namespace tokenizer_json_detail

/// Throws Error for a file that cannot be read, and for a tokenizer that is no byte-level BPE. Tokens that it
/// adds to the model's are left out: nothing in text is special.
inline TokenizerJson read_tokenizer_json(const std::filesystem::path& path) {
  std::ifstream in(path);
  require(in.good(), "cannot open '", path, "'");
  const auto json = nlohmann::json::parse(in, nullptr, false);
  try {
    return tokenizer_json_detail::read(json, path.string());
  } catch (const nlohmann::json::exception&) {
    throw Error(
        concat(path.string(), ": not a tokenizer.json of a byte-level BPE: a field has another type"));
  }
}

}  // namespace demix::text
