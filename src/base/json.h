// JSON for configs, small files and writing (nlohmann-json). Large inputs (tokenizer.json, JSONL) are read with simdjson
// where they are used.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace r1 {

using Json = nlohmann::ordered_json;  // keeps the order of keys, as Hugging Face's files do

struct JsonLimits {
  std::size_t max_bytes = std::size_t{64} << 20;
  int max_depth = 64;
};

/// Parses a JSON text. Throws Error(kind) "where:line:column: …" for a syntax error, a duplicate key, invalid UTF-8, a text
/// over the limits; where is a file name or another description of the origin.
Json parse_json(std::string_view text, std::string_view where, ErrorKind kind = ErrorKind::kData, JsonLimits limits = {});

/// Reads and parses a file. A missing or unreadable file is Error(kind), with its path.
Json read_json_file(const std::string& path, ErrorKind kind = ErrorKind::kData, JsonLimits limits = {});

/// One line without spaces after commas; NaN and infinities become null; invalid UTF-8 becomes U+FFFD.
std::string to_json_line(const Json& value);

}  // namespace r1
