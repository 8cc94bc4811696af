// Which files make up which split of a local data set.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace r1::data {

/// Split → files in the order of their names. `path` is a file (split "train"), a pattern with *, ? or [ ] (split "train"), or a
/// folder. In a folder whose README.md names configurations (data/dataset_card.h), `config` is one of them (absent: the default
/// one, else the first). In others `config` names a sub-folder; files belong to the split that a part of their path names (train, test,
/// validation and their usual synonyms, as in train.jsonl, test-00000-of-00002.parquet, validation/part-0.csv), and all
/// to "train" when none names one. Throws Error(kData) when nothing fits.
std::map<std::string, std::vector<std::string>> find_data_files(const std::string& path, const std::optional<std::string>& config);

/// ".jsonl", ".json", ".csv", ".parquet": what open_dataset can read.
bool is_data_file(std::string_view path);
/// ".jsonl, .json, …" for messages.
std::string data_file_kinds();

/// "train", "test" or "validation" where a part of the relative path names it.
std::optional<std::string> split_of_path(std::string_view relative_path);

}  // namespace r1::data
