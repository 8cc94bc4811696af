#include "apps/inspect/data_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"
#include "config/fields.h"
#include "data/open_dataset.h"
#include "hub/download.h"
#include "io/parquet_schema.h"

namespace r1::apps {
namespace {

struct DatasetOptions {
  std::string name;
  std::optional<std::string> split, config;
  std::int64_t head = 3;
};

constexpr std::int64_t kRowsForTypes = 1000;

// "list of struct{role: string, content: string}"
std::string describe_type(const Json& type) {
  if (type.is_string()) return type.get<std::string>();
  if (type.contains("list")) return "list of " + describe_type(type.at("list"));
  std::string fields;
  for (const auto& [name, field] : type.at("struct").items())
    fields += fmt::format("{}{}: {}", fields.empty() ? "" : ", ", name, describe_type(field));
  return "struct{" + fields + "}";
}

// The type of each column over the first rows; a column whose rows disagree is "mixed".
Json column_types(const data::Dataset& dataset) {
  Json types = Json::object();
  for (const std::string& column : dataset.column_names()) types[column] = "null";
  for (std::int64_t i = 0; i < std::min(dataset.num_rows(), kRowsForTypes); ++i) {
    const Json row = dataset.row(i);
    for (const auto& [column, value] : row.items()) {
      const Json single = Json::object({{column, value}});
      Json& type = types[column];
      if (type == "mixed") continue;
      try {
        const Json schema = io::infer_parquet_schema(std::span(&single, 1));
        type = io::merge_parquet_schemas(Json::object({{column, type.is_null() ? Json("null") : type}}), schema).at(column);
      } catch (const Error&) {
        type = "mixed";
      }
    }
  }
  return types;
}

}  // namespace

int run_dataset(std::span<const std::string> arguments) {
  DatasetOptions options;
  config::FieldList fields;
  fields.positional("NAME", options.name,
                    "File, folder, pattern, name under R1_DATA or in the Hugging Face cache, or builtin/<task>[:key=value,…].");
  fields.add("split", options.split, "Split to look at, such as test or train[:100]; none: train, else the first.");
  fields.add("config", options.config, "Named configuration (sub-folder) of the data set.");
  fields.add("head", options.head, "Rows to print, as JSON lines.").at_least(0);
  if (config::parse_arguments(arguments, fields).help_requested) {
    fmt::print("{}", fields.help("r1_inspect dataset NAME [--head N]", "Columns, rows, types and first rows of a data set."));
    return 0;
  }
  const auto splits = data::dataset_splits(options.name, options.config);
  const std::string split = options.split.value_or(splits.front());
  const data::DatasetPtr dataset = data::open_dataset({options.name, options.config, split});
  fmt::print("data set   {}\nsplits     {}\nrows       {} in {}\n", options.name, join(splits, ", "), dataset->num_rows(), split);
  const Json types = column_types(*dataset);
  std::size_t width = 0;
  for (const auto& [column, type] : types.items()) width = std::max(width, column.size());
  for (const auto& [column, type] : types.items()) {
    fmt::print("column     {:<{}}  {}\n", column, width, describe_type(type));
  }
  for (std::int64_t i = 0; i < std::min(options.head, dataset->num_rows()); ++i) fmt::print("{}\n", to_json_line(dataset->row(i)));
  return 0;
}

int run_download(std::span<const std::string> arguments) {
  hub::DownloadOptions options;
  bool dataset = false;
  config::FieldList fields;
  fields.positional("NAME", options.name, "Name on the hub: organisation/name.");
  fields.add("dataset", dataset, "Fetch a data set; otherwise a model.");
  fields.add("revision", options.revision, "Branch, tag or commit.");
  if (config::parse_arguments(arguments, fields).help_requested) {
    fmt::print("{}", fields.help("r1_inspect download NAME [--dataset] [--revision R]",
                                 "Fetches a model or a data set into the Hugging Face cache (HF_HOME), from HF_ENDPOINT, with HF_TOKEN."));
    return 0;
  }
  if (options.name.empty()) fail(ErrorKind::kUsage, "missing: the NAME of what to fetch; see r1_inspect download --help");
  options.kind = dataset ? hub::Repository::kDataset : hub::Repository::kModel;
  const hub::DownloadResult result = hub::download(options);
  fmt::print("{}\n", result.folder);
  log::info("{} files, {} fetched ({})", result.num_files, result.num_fetched, format_bytes(static_cast<double>(result.fetched_bytes)));
  return 0;
}

}  // namespace r1::apps
