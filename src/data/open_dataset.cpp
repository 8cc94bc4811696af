#include "data/open_dataset.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/strings.h"
#include "data/builtin_tasks.h"
#include "data/csv_dataset.h"
#include "data/data_files.h"
#include "data/jsonl_dataset.h"
#include "data/parquet_dataset.h"
#include "hub/resolve.h"

namespace r1::data {
namespace {

DatasetPtr open_file(const std::string& path) {
  if (path.ends_with(".jsonl")) return open_jsonl(path);
  if (path.ends_with(".json")) return open_json(path);
  if (path.ends_with(".csv")) return open_csv(path);
  if (path.ends_with(".parquet")) return open_parquet(path);
  fail(ErrorKind::kData, "{}: expected a data file of a known kind ({})", path, data_file_kinds());
}

// "train[:100]", "train[10%:20%]": the rows of a split, as in the datasets library.
struct SplitSlice {
  std::string split;
  std::optional<std::pair<std::string, std::string>> bounds;
};

SplitSlice parse_split(const std::string& text) {
  const std::size_t bracket = text.find('[');
  if (bracket == std::string::npos) return {text, std::nullopt};
  const std::size_t colon = text.find(':', bracket);
  if (text.back() != ']' || colon == std::string::npos) {
    fail(ErrorKind::kUsage, "split '{}': expected name, name[begin:end] or name[begin%:end%]", text);
  }
  return {text.substr(0, bracket),
          std::pair(text.substr(bracket + 1, colon - bracket - 1), text.substr(colon + 1, text.size() - colon - 2))};
}

std::int64_t slice_bound(const std::string& text, std::int64_t num_rows, std::int64_t absent, const std::string& whole) {
  if (text.empty()) return absent;
  const bool percent = text.back() == '%';
  const auto value = parse_int(percent ? std::string_view(text).substr(0, text.size() - 1) : std::string_view(text));
  if (!value || (percent && (*value < -100 || *value > 100))) {
    fail(ErrorKind::kUsage, "split '{}': expected whole numbers or percentages as bounds, found '{}'", whole, text);
  }
  const std::int64_t row = percent ? (*value * num_rows + (*value >= 0 ? 50 : -50)) / 100 : *value;
  return std::clamp(row < 0 ? num_rows + row : row, std::int64_t{0}, num_rows);
}

DatasetPtr take_slice(DatasetPtr dataset, const SplitSlice& slice, const std::string& whole) {
  if (!slice.bounds) return dataset;
  const std::int64_t begin = slice_bound(slice.bounds->first, dataset->num_rows(), 0, whole);
  const std::int64_t end = slice_bound(slice.bounds->second, dataset->num_rows(), dataset->num_rows(), whole);
  std::vector<std::int64_t> indices;
  for (std::int64_t i = begin; i < end; ++i) indices.push_back(i);
  return select_rows(std::move(dataset), std::move(indices));
}

std::map<std::string, std::vector<std::string>> files_by_split(const std::string& name, const std::optional<std::string>& config) {
  const bool pattern = name.find_first_of("*?[") != std::string::npos;
  return find_data_files(pattern ? name : hub::resolve(hub::Repository::kDataset, name), config);
}

}  // namespace

DatasetPtr open_dataset(const DatasetRequest& request) {
  const SplitSlice slice = parse_split(request.split);
  DatasetPtr dataset;
  if (is_builtin(request.name)) {
    dataset = open_builtin(request.name, slice.split);
  } else {
    const auto splits = files_by_split(request.name, request.config);
    const auto found = splits.find(slice.split);
    if (found == splits.end()) {
      std::vector<std::string> names;
      for (const auto& [split, files] : splits) names.push_back(split);
      fail(ErrorKind::kData, "{}: expected a split '{}'; the splits are: {}", request.name, slice.split, join(names, ", "));
    }
    std::vector<DatasetPtr> parts;
    for (const std::string& file : found->second) parts.push_back(open_file(file));
    dataset = concatenate(std::move(parts));
  }
  dataset = take_slice(std::move(dataset), slice, request.split);
  if (dataset->num_rows() == 0) fail(ErrorKind::kData, "{} ({}): expected at least one row, found none", request.name, request.split);
  return dataset;
}

std::vector<std::string> dataset_splits(const std::string& name, const std::optional<std::string>& config) {
  if (is_builtin(name)) return {"train", "test"};
  std::vector<std::string> names;
  for (const auto& [split, files] : files_by_split(name, config)) names.push_back(split);
  std::stable_partition(names.begin(), names.end(), [](const std::string& split) { return split == "train"; });
  return names;
}

}  // namespace r1::data
