// Parquet files in and out. The work is done by libr1_parquet.so (Apache Arrow), opened at the first use.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace r1::io {

/// Reads row groups as JSON rows. Not thread-safe.
class ParquetFile {
 public:
  /// Throws Error(kData) with the path when the file is broken; Error(kData) with the command that installs the module when it
  /// is not there.
  explicit ParquetFile(const std::string& path);
  ~ParquetFile();
  ParquetFile(ParquetFile&&) noexcept;

  const std::vector<std::string>& column_names() const;
  std::int64_t num_row_groups() const;
  std::int64_t row_group_rows(std::int64_t group) const;
  /// The rows of a group, one JSON object each. Throws Error(kData) naming file, group and column.
  std::vector<std::string> read_row_group(std::int64_t group) const;
  /// The whole file.
  std::string_view bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Writes rows (JSON objects) as <path>, snappy-compressed, `row_group_rows` rows a group; the file has its name only when it is
/// whole. The schema is that of infer_parquet_schema over `rows`, or the given one; a key that a row lacks is null.
/// Throws Error(kDisk), Error(kData) when a value does not fit the schema or the module is missing.
void write_parquet(const std::string& path, std::span<const nlohmann::ordered_json> rows, std::int64_t row_group_rows = 1000);

struct ParquetWriteOptions {
  nlohmann::ordered_json schema;                // null: inferred
  std::map<std::string, std::string> metadata;  // key-value pairs of the file
  std::int64_t row_group_rows = 1000;
};
void write_parquet(const std::string& path, std::span<const nlohmann::ordered_json> rows, const ParquetWriteOptions& options);

/// True when libr1_parquet.so is there and fits.
bool parquet_available();

}  // namespace r1::io
