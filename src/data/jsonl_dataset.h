// JSON Lines and JSON files as data sets: mapped, indexed by line, parsed when a row is asked for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/dataset.h"

namespace r1::data {

/// One object per line; blank lines are skipped. Opening scans for line ends only. A broken line is reported when it is
/// read: "file:line:column: …" for a syntax error, invalid UTF-8, a duplicate key, a row that is not an object.
DatasetPtr open_jsonl(const std::string& path);

/// A list of objects, or JSON Lines under the name .json.
DatasetPtr open_json(const std::string& path);

}  // namespace r1::data
