#include "eval/task_data.h"

#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "data/open_dataset.h"
#include "hub/resolve.h"

namespace r1::eval {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> base_folders(const std::optional<std::string>& data_dir) {
  if (data_dir) {
    if (!fs::is_directory(*data_dir)) fail(ErrorKind::kData, "--data-dir {}: no such folder", *data_dir);
    return {*data_dir};
  }
  const char* variable = std::getenv("R1_DATA");
  return variable == nullptr || *variable == '\0' ? std::vector<std::string>{} : split(variable, ':');
}

}  // namespace

data::DatasetPtr open_task_data(std::string_view task, const DataNames& names, const std::optional<std::string>& data_dir) {
  std::vector<std::string> folders = names.folders;
  if (!names.hub_id.empty()) folders.push_back(names.hub_id);
  std::string searched;
  for (const std::string& base : base_folders(data_dir)) {
    for (const std::string& folder : folders) {
      for (const char* ending : {"jsonl", "parquet", "csv"}) {
        const std::string path = fmt::format("{}/{}/test.{}", base, folder, ending);
        if (fs::exists(path)) return data::open_dataset({path, std::nullopt, "train"});  // a single file is the split train
      }
      searched += fmt::format("\n  {}/{}/test.jsonl, .parquet or .csv", base, folder);
    }
  }
  if (!names.hub_id.empty()) {
    if (hub::find_local(hub::Repository::kDataset, names.hub_id)) {
      return data::open_dataset({names.hub_id, names.hub_config, names.hub_split});
    }
    searched += fmt::format("\n  {} in the Hugging Face cache, {}", names.hub_id, hub::cache_folder());
  }
  fail(ErrorKind::kData, "the data of task {} was not found; searched:{}\nGive --data-dir DIR with DIR/{}/test.jsonl{}", task, searched,
       names.folders.front(),
       names.hub_id.empty() ? std::string() : fmt::format(", or run: r1_inspect download {} --dataset", names.hub_id));
}

std::string text_of(const data::Dataset& dataset, std::int64_t index, const Json& row, std::string_view column) {
  const Json& value = data::column_value(dataset, index, row, column);
  if (value.is_number() || value.is_boolean()) return value.dump();
  if (!value.is_string()) {
    fail(ErrorKind::kData, "{}: column '{}': expected a text, found {}", dataset.where(index), column, to_json_line(value).substr(0, 80));
  }
  return std::string(trim(value.get_ref<const std::string&>()));
}

std::string first_column(const data::Dataset& dataset, std::string_view task, const std::vector<std::string>& columns) {
  for (const std::string& column : columns)
    if (dataset.has_column(column)) return column;
  fail(ErrorKind::kData, "task {}: expected a column named {}; the data has {}", task, join(columns, " or "),
       join(dataset.column_names(), ", "));
}

}  // namespace r1::eval
