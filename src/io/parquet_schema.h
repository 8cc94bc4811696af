// The schema of rows: JSON object, column → type. A type is "bool", "int64", "double", "string", "null" (nothing but nulls was
// seen), {"list": type} or {"struct": {field: type, …}}.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>

namespace r1::io {

/// The narrowest schema that holds all rows: integers and doubles together are doubles, missing fields are null. Throws
/// Error(kData) naming the column when two rows cannot share a type (a text and a number, say).
nlohmann::ordered_json infer_parquet_schema(std::span<const nlohmann::ordered_json> rows);

/// The narrowest schema that holds what both hold, for files that belong together.
nlohmann::ordered_json merge_parquet_schemas(const nlohmann::ordered_json& a, const nlohmann::ordered_json& b);

}  // namespace r1::io
