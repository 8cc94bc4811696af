// The loop that the row commands of r1_inspect share: JSONL in, JSONL out, one line out per line in, in order.
#pragma once

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

#include "base/json.h"

namespace r1::apps {

/// Calls handle for the object on each line and writes what it returns. A line that is no JSON object, or a handle that throws
/// r1::Error (but kInternal), gives {"error": "…"} in its place and the rows go on. Returns the exit code: 0, or 3 when a row failed.
int run_jsonl_rows(std::istream& input, std::ostream& output, const std::function<Json(const Json& row)>& handle);

/// As above from standard input to standard output.
int run_jsonl_rows(const std::function<Json(const Json& row)>& handle);

/// Members of a row with the type they must have; nothing when absent or null. Throw Error(kData) that names the field.
std::optional<std::string> text_field(const Json& row, const char* name);
std::optional<bool> bool_field(const Json& row, const char* name);

}  // namespace r1::apps
