// A data set: rows of named values, readable in any order.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace r1 {
using Json = nlohmann::ordered_json;  // include base/json.h where rows are read
}

namespace r1::data {

/// Immutable; row() may be called from several threads at once. A row is a JSON object, column name → value: text, number,
/// boolean, null, list or object (a list of messages, say).
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::int64_t num_rows() const = 0;
  /// Of the file's schema where it has one, else of the first rows.
  virtual const std::vector<std::string>& column_names() const = 0;
  /// The row, 0 <= index < num_rows(). Throws Error(kData) "file:line:column: …" for a row that cannot be read.
  virtual Json row(std::int64_t index) const = 0;
  /// Where the row comes from, for messages: "train.jsonl:12".
  virtual std::string where(std::int64_t index) const = 0;
  /// 32 hexadecimal digits that change when any row does; the key of caches.
  virtual const std::string& content_hash() const = 0;

  bool has_column(std::string_view name) const;
};

using DatasetPtr = std::shared_ptr<const Dataset>;

/// The value of a column. Throws Error(kData) with the row's place, the columns that there are and the nearest name.
const Json& column_value(const Dataset& dataset, std::int64_t index, const Json& row, std::string_view column);

/// Throws Error(kData) when a column is missing; `purpose` ends the sentence: "for the reward 'accuracy'".
void require_column(const Dataset& dataset, std::string_view dataset_name, std::string_view column, std::string_view purpose);

/// Rows of another data set, in the order of `indices`.
DatasetPtr select_rows(DatasetPtr dataset, std::vector<std::int64_t> indices);
/// The named columns alone. Throws Error(kData) when one is missing.
DatasetPtr select_columns(DatasetPtr dataset, std::vector<std::string> columns, std::string_view dataset_name);
/// One after another; the columns are those of the first.
DatasetPtr concatenate(std::vector<DatasetPtr> parts);
/// All rows in a random order, a pure function of the seed and the number of rows.
std::vector<std::int64_t> shuffled_indices(std::int64_t count, std::uint64_t seed);

}  // namespace r1::data
