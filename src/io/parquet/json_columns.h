// Arrow columns ↔ JSON rows (inside the Parquet module).
#pragma once

#include <arrow/api.h>

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace r1::io::parquet_module {

/// Writes rows of a batch as JSON objects. Nested lists, structs and maps are kept; dates, times and decimals become texts;
/// NaN and infinities become null; bytes must be UTF-8. Throws std::runtime_error naming the column.
class RowWriter {
 public:
  explicit RowWriter(const arrow::RecordBatch& batch) : batch_(batch) {}
  void append_row(int64_t row, std::string& text) const;

 private:
  const arrow::RecordBatch& batch_;
};

/// The schema of io/parquet_schema.h as Arrow's.
std::shared_ptr<arrow::Schema> schema_from_json(const nlohmann::ordered_json& schema);

/// Rows, one JSON object per line, as columns. Throws std::runtime_error when a value does not fit the schema.
std::shared_ptr<arrow::RecordBatch> batch_from_json(const std::shared_ptr<arrow::Schema>& schema, std::string_view lines);

}  // namespace r1::io::parquet_module
