// One JSON object, a row of a data set, from text.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace r1::data {

/// `readable_after` is the number of bytes behind the line that may be read (of a mapped file, say); few mean a copy. Throws Error(kData)
/// "file:line:column: …" for a syntax error, invalid UTF-8, a duplicate key, another value than an object, a line over 256 MiB or nested
/// deeper than 64 levels.
nlohmann::ordered_json parse_json_row(std::string_view line, std::size_t readable_after, const std::string& path, std::int64_t line_number);

}  // namespace r1::data
