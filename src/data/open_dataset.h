// A data set by name: built-in task, file, folder, or an entry of the Hugging Face cache.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace r1::data {

/// What `dataset_name`, `dataset_config` and a split name say.
struct DatasetRequest {
  std::string name;                   // builtin/<task>[:…], a path, or a name that hub::resolve finds
  std::optional<std::string> config;  // a configuration of the data set
  std::string split = "train";
};

/// Throws Error(kData) for a file or split that does not exist, an unknown kind of file, an empty data set; Error(kUsage) for
/// a wrong built-in name. A single file is the split "train".
DatasetPtr open_dataset(const DatasetRequest& request);

/// The splits there are, "train" first.
std::vector<std::string> dataset_splits(const std::string& name, const std::optional<std::string>& config = std::nullopt);

}  // namespace r1::data
