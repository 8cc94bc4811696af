#include "data/data_files.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <glob.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.h"
#include "base/strings.h"
#include "data/dataset_card.h"

namespace r1::data {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kKinds = {".jsonl", ".json", ".csv", ".parquet"};

struct SplitWord {
  std::string_view word, split;
};
constexpr SplitWord kSplitWords[] = {
    {"train", "train"},      {"training", "train"}, {"test", "test"},      {"testing", "test"}, {"validation", "validation"},
    {"valid", "validation"}, {"val", "validation"}, {"dev", "validation"}, {"eval", "test"},    {"evaluation", "test"}};

// Files that describe a data set or a model and hold no rows.
bool is_description(const std::string& name) {
  static constexpr std::string_view kNames[] = {"dataset_infos.json", "dataset_info.json", "dataset_dict.json",
                                                "state.json",         "config.json",       "manifest.json"};
  return name.starts_with(".") || name.starts_with("_") || std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

bool has_pattern(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

std::vector<std::string> files_of_pattern(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> files;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    for (std::size_t i = 0; i < found.gl_pathc; ++i) {
      if (fs::is_regular_file(found.gl_pathv[i]) && is_data_file(found.gl_pathv[i])) files.emplace_back(found.gl_pathv[i]);
    }
  }
  ::globfree(&found);
  if (files.empty()) fail(ErrorKind::kData, "{}: no data file ({}) has a name like this", pattern, data_file_kinds());
  return files;
}

std::vector<std::string> sub_folders(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory() && !is_description(name)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<fs::path> data_files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  bool arrow_files = false;
  for (auto entry = fs::recursive_directory_iterator(folder, fs::directory_options::follow_directory_symlink);
       entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string name = entry->path().filename().string();
    // Such as the _journal of r1_generate beside its parts.
    if (name.starts_with(".") || (entry->is_directory() && is_description(name)) || entry.depth() > 8) {
      entry.disable_recursion_pending();
      continue;
    }
    if (!entry->is_regular_file() || is_description(name)) continue;
    arrow_files = arrow_files || name.ends_with(".arrow");
    if (is_data_file(name)) files.push_back(entry->path());
  }
  if (files.empty() && arrow_files) {
    fail(ErrorKind::kData, "{}: holds .arrow files (datasets' save_to_disk), which are not read; export it with to_parquet or to_json",
         folder.string());
  }
  if (files.empty()) fail(ErrorKind::kData, "{}: expected data files ({}) in this folder, found none", folder.string(), data_file_kinds());
  std::sort(files.begin(), files.end());
  return files;
}

// The configuration of that name; absent: the default one, else the first.
const DatasetCard::Configuration* choose_configuration(const DatasetCard& card, const std::optional<std::string>& config) {
  const DatasetCard::Configuration* chosen = nullptr;
  for (const DatasetCard::Configuration& candidate : card.configurations) {
    if (config ? candidate.name == *config : candidate.is_default || candidate.name == "default") chosen = &candidate;
  }
  return chosen != nullptr || config ? chosen : &card.configurations.front();
}

std::map<std::string, std::vector<std::string>> files_of_configuration(const std::string& path,
                                                                       const DatasetCard::Configuration& configuration) {
  const auto files = data_files_below(path);
  std::map<std::string, std::vector<std::string>> splits;
  for (const auto& [split, patterns] : configuration.patterns) {
    for (const fs::path& file : files) {
      const std::string relative = file.lexically_relative(path).string();
      const bool matches = std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
        return ::fnmatch(replace_all(pattern, "**/", "*").c_str(), relative.c_str(), 0) == 0;
      });
      if (matches) splits[split].push_back(file.string());
    }
  }
  if (splits.empty()) {
    fail(ErrorKind::kData, "{}: the files that README.md names for the configuration '{}' are not there; fetch the data set again", path,
         configuration.name);
  }
  return splits;
}

}  // namespace

bool is_data_file(std::string_view path) {
  return std::any_of(kKinds.begin(), kKinds.end(), [&](std::string_view kind) { return path.ends_with(kind); });
}

std::string data_file_kinds() { return fmt::format("{}", fmt::join(kKinds, ", ")); }

std::optional<std::string> split_of_path(std::string_view relative_path) {
  const std::string lower = to_lower_ascii(relative_path);
  for (std::size_t begin = 0; begin < lower.size();) {
    std::size_t end = begin;
    while (end < lower.size() && lower[end] >= 'a' && lower[end] <= 'z') ++end;
    const std::string_view word = std::string_view(lower).substr(begin, end - begin);
    for (const SplitWord& candidate : kSplitWords) {
      if (word == candidate.word) return std::string(candidate.split);
    }
    begin = end + 1;
  }
  return std::nullopt;
}

std::map<std::string, std::vector<std::string>> find_data_files(const std::string& path, const std::optional<std::string>& config) {
  std::error_code error;
  if (!fs::exists(path, error) && has_pattern(path)) return {{"train", files_of_pattern(path)}};
  if (!fs::is_directory(path, error)) {
    if (!fs::exists(path, error)) fail(ErrorKind::kData, "{}: no such file or folder", path);
    if (!is_data_file(path)) fail(ErrorKind::kData, "{}: expected a data file of a known kind ({})", path, data_file_kinds());
    return {{"train", {path}}};
  }
  if (const auto card = read_dataset_card(path)) {
    if (const auto* configuration = choose_configuration(*card, config)) return files_of_configuration(path, *configuration);
    if (!fs::is_directory(fs::path(path) / *config, error)) {
      std::vector<std::string> names;
      for (const auto& candidate : card->configurations) names.push_back(candidate.name);
      fail(ErrorKind::kData, "{}: expected a configuration that README.md names, found '{}'; there are: {}", path, *config,
           join(names, ", "));
    }
  }
  fs::path folder = path;
  if (config && *config != "default") {
    folder /= *config;
    if (!fs::is_directory(folder, error) || config->find("..") != std::string::npos) {
      fail(ErrorKind::kData, "{}: expected a sub-folder for the configuration '{}'; there are: {}", path, *config,
           join(sub_folders(path), ", "));
    }
  }
  std::map<std::string, std::vector<std::string>> splits;
  const auto files = data_files_below(folder);
  for (const fs::path& file : files) {
    if (const auto split = split_of_path(file.lexically_relative(folder).string())) splits[*split].push_back(file.string());
  }
  if (splits.empty()) {
    for (const fs::path& file : files) splits["train"].push_back(file.string());
  }
  return splits;
}

}  // namespace r1::data
