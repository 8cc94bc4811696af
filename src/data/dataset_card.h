// The front matter of a data set's README.md, where hub data sets name their configurations and files.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace r1::data {

/// Configuration → split → patterns of files, relative to the folder.
struct DatasetCard {
  struct Configuration {
    std::string name;
    bool is_default = false;
    std::map<std::string, std::vector<std::string>> patterns;
  };
  std::vector<Configuration> configurations;
};

/// Reads `configs:` of the YAML between the first two lines "---". Nothing when the folder has no README.md, it has no front matter,
/// or that names no files. Only the plain block style that the hub writes is understood (lists with dashes, one key a line);
/// another line is Error(kData) "README.md:line: …", a pattern that leaves the folder too.
std::optional<DatasetCard> read_dataset_card(const std::string& folder);

}  // namespace r1::data
