// YAML files as value trees, guarded: no input may crash the program, hang it or fill its memory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/fields.h"
#include "config/value.h"

namespace r1::config {

/// yaml-cpp reads 2 to 5 MB/s, and holds all tokens of a line in flow style at once; these limits keep every input under 50 ms.
/// The largest recipes are 20 KB, most of it a chat template.
struct YamlLimits {
  std::size_t max_bytes = std::size_t{64} << 10;
  int max_depth = 64;
  int max_nodes = 10'000;
  int max_flow_indicators = 16'384;  // the characters [ ] { } , anywhere
};

/// One YAML document → Value. Only what recipes need: no aliases and merge keys (alias bombs are legal YAML), no tags, no second
/// document; duplicate keys, tabs as indentation, control characters and invalid UTF-8 are errors. where is the file's name.
/// Throws Error(kConfig) "where:line: …". Every text that is within the limits is read in milliseconds.
Value parse_yaml(std::string_view text, std::string_view where, YamlLimits limits = {});

/// Reads and parses a file. Throws Error(kConfig) with its path when it cannot be read.
Value read_yaml_file(const std::string& path, YamlLimits limits = {});

/// The entries of a flat map (a recipe) as assignments with their file:line. An empty file has none.
/// Throws Error(kConfig) when the document is not a map.
std::vector<Assignment> assignments_of(const Value& document, const std::string& path);

}  // namespace r1::config
