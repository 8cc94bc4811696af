// Where a benchmark's problems lie.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace r1::eval {

/// Names under which a task's data is looked for.
struct DataNames {
  std::vector<std::string> folders;  // below --data-dir: <folder>/test.{jsonl,parquet,csv}
  std::string hub_id;                // in the Hugging Face cache, and below --data-dir too
  std::optional<std::string> hub_config;
  std::string hub_split = "test";
};

/// The first that exists: <base>/<name>/test.jsonl, .parquet, .csv for every base (data_dir, else the folders of R1_DATA) and name; then
/// the hub's data set in the Hugging Face cache. Throws Error(kData) with the places that were searched and the command that fetches it.
data::DatasetPtr open_task_data(std::string_view task, const DataNames& names, const std::optional<std::string>& data_dir);

/// The text of a column, with numbers as they are printed; without white space at its ends. Throws Error(kData) naming row and column.
std::string text_of(const data::Dataset& dataset, std::int64_t index, const Json& row, std::string_view column);

/// Of several possible columns, the first that there is. Throws Error(kData) with all of them and what the data set has.
std::string first_column(const data::Dataset& dataset, std::string_view task, const std::vector<std::string>& columns);

}  // namespace r1::eval
